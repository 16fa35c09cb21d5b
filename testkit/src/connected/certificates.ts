import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates {
  /** The authority's own certificate, PEM. */
  readonly authority: string;
  /** Of a server called localhost, 127.0.0.1, or 10.0.2.2 as emulated machines call this host, PEM. */
  readonly key: string;
  readonly certificate: string;
}

/** A certificate authority and a server's certificate signed by it, made by openssl. */
export function makeCertificates(): Certificates {
  const directory = mkdtempSync(join(tmpdir(), 'certificates-'));
  const openssl = (...args: string[]): void => {
    execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  };
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
  try {
    openssl(
      'req',
      '-x509',
      ...curve,
      '-keyout',
      'ca.key',
      '-out',
      'ca.pem',
      '-subj',
      '/CN=Test authority',
      '-days',
      '2',
    );
    writeFileSync(join(directory, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1,IP:10.0.2.2\n');
    openssl('req', ...curve, '-keyout', 'key.pem', '-out', 'request.pem', '-subj', '/CN=localhost');
    openssl(
      ...['x509', '-req', '-in', 'request.pem', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial'],
      ...['-out', 'cert.pem', '-days', '2', '-extfile', 'names'],
    );
    const read = (name: string): string => readFileSync(join(directory, name), 'utf8');
    return { authority: read('ca.pem'), key: read('key.pem'), certificate: read('cert.pem') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
