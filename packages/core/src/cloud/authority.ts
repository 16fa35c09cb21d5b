import { X509Certificate } from 'node:crypto';

/**
 * Certificates of authorities in PEM, from the one line of base64 that `balenaRootCA` is (meta-balena, docs: config.json). Undefined
 * for what holds none, or one that cannot be read.
 */
export function decodeAuthority(base64: string): string | undefined {
  const pem = Buffer.from(base64, 'base64').toString('utf8');
  try {
    const found = [...pem.matchAll(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g)];
    for (const [certificate] of found) new X509Certificate(certificate);
    return found.length === 0 ? undefined : pem;
  } catch {
    return undefined;
  }
}
