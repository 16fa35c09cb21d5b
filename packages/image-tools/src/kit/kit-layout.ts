// Names of what lies in a kit: everything that one machine needs to be migrated, in one directory or archive.
import type { Architecture } from '@migrate/core';

export const launcherName = 'migrate-run';
export const sumsName = 'SHA256SUMS';
export const configName = 'balena-migrate.yml';
export const configJsonName = 'config.json';
export const connectionsName = 'system-connections';

/** Architectures that there are bundles for, by the name that the bundle has; the launcher chooses by `uname -m`. */
const bundleNames: Partial<Record<Architecture, string>> = {
  x86_64: 'migrate-linux-x64',
  aarch64: 'migrate-linux-arm64',
  arm: 'migrate-linux-armv7',
};

/** Directory of the bundle for an architecture; undefined where there is none. */
export function bundleNameOf(architecture: Architecture): string | undefined {
  return bundleNames[architecture];
}

export const imageNames = { raw: 'balena.img', gzip: 'balena.img.gz', zstd: 'balena.img.zst' } as const;

/** What a kit is made as, by the name of the output. */
export type KitForm = 'directory' | 'tar' | 'tar.gz';

export function kitFormOf(output: string): KitForm {
  if (/\.(tar\.gz|tgz)$/i.test(output)) return 'tar.gz';
  return /\.tar$/i.test(output) ? 'tar' : 'directory';
}

/** Name of the only directory in an archive. */
export function kitNameOf(output: string): string {
  const name = output.slice(output.lastIndexOf('/') + 1).replace(/\.(tar\.gz|tgz|tar)$/i, '');
  return name === '' ? 'migrate-kit' : name;
}
