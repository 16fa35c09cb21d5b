// What balenaOS reads from its boot partition, and by which names: for stage 2 and for whoever prepares an image.
import type { Finding } from '../plan/finding.ts';

export const configJsonPath = '/config.json';

/** Where a NetworkManager connection file lies in the boot partition. */
export function connectionPath(name: string): string {
  return `/system-connections/${name}`;
}

/** Where balenaOS finds its proxy and the exceptions from it (meta-balena, balena-proxy-config). */
export function proxyPath(name: string): string {
  return `/system-proxy/${name}`;
}

/** FAT does not tell upper from lower case. `where` is the setting or option that the files come from. */
export function sameConnectionNames(connections: readonly { readonly name: string }[], where: string): Finding[] {
  const names = connections.map((connection) => connection.name.toLowerCase());
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  return twice.map((name) => ({
    severity: 'error',
    code: 'connection-name',
    where,
    message: `two files are called ${name}; one would replace the other`,
    hint: 'Rename one of them',
  }));
}

/** Text of a file that the new system gets as it is. A byte order mark stays in it, so that the checks see it. */
export function textAsIs(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);
}
