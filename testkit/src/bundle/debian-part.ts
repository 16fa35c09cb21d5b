// The loader, C and C++ libraries and busybox of the bundle, out of Debian 12's packages; never what this machine has installed.

import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import { aptOptions } from './apt.ts';
import type { BundleArchitecture } from './architectures.ts';
import { type DebianPart, debianParts } from './debian-packages.ts';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
}

/** What apt would download now for the runtime. */
export function debianPackages(architecture: BundleArchitecture): Promise<readonly DebianPackage[]> {
  return offeredPackages(debianParts(architecture), architecture.debian);
}

/** What apt would download now; the cure is in the message where apt knows no suitable version. */
export async function offeredPackages(
  parts: readonly Pick<DebianPart, 'name' | 'version'>[],
  debian: string,
): Promise<readonly DebianPackage[]> {
  const options = await aptOptions(debian);
  // apt leaves out what lies in the current directory already, so not the caller's.
  const here = { cwd: import.meta.dirname };
  const names = parts.map((part) => part.name);
  const { stdout } = await execa('apt-get', [...options, 'download', '--print-uris', ...names], here).catch(
    (cause: unknown) => {
      throw new Error('apt-get knows no package to download; run `apt-get update`', { cause });
    },
  );
  const files = [...stdout.matchAll(/^'[^']+' (\S+?)_(\S+)_([^_\s]+)\.deb /gm)];
  return parts.map(({ name, version: wanted }) => {
    const found = files.find((match) => match[1] === name && match[3] === debian);
    const version = found?.[2]?.replaceAll('%3a', ':');
    if (version === undefined || !wanted.test(version)) {
      throw new Error(
        `the bundle needs Debian 12's ${name}:${debian} (${wanted.source}), apt offers ${version ?? 'none'}`,
      );
    }
    return { name, version };
  });
}

/** Directory with `runtime/` and `licenses/` filled from the given packages; made on first use. */
export async function debianPart(
  architecture: BundleArchitecture,
  packages: readonly DebianPackage[],
): Promise<string> {
  const wanted = packages.map(({ name, version }) => `${name}=${version}`);
  const parts = debianParts(architecture);
  const inputs = [architecture.debian, wanted, parts.map((part) => [part.files, part.copyright])];
  return cached('bundle-debian', inputs, async (directory) => {
    const downloads = join(directory, 'downloads');
    await mkdir(downloads);
    const options = [...(await aptOptions(architecture.debian)), '-o', 'APT::Sandbox::User=root'];
    // apt checks what it downloads against the signed package lists; a "404" means that they are old (apt-get update).
    await execa('apt-get', [...options, 'download', ...wanted], { cwd: downloads });
    for (const archive of await readdir(downloads)) await extract(join(downloads, archive), parts, directory);
    await execa('rm', ['-r', downloads]);
  });
}

async function extract(archive: string, parts: readonly DebianPart[], directory: string): Promise<void> {
  const { stdout: name } = await execa('dpkg-deb', ['--field', archive, 'Package']);
  const part = parts.find((candidate) => candidate.name === name);
  if (part === undefined) throw new Error(`${archive} holds ${name}, which was not asked for`);
  const tree = `${archive}.d`;
  await execa('dpkg-deb', ['--extract', archive, tree]);
  for (const [from, targets] of Object.entries(part.files))
    for (const to of [targets].flat()) await place(join(tree, from), join(directory, 'runtime', to));
  if (part.copyright !== undefined) {
    await place(join(tree, part.copyright), join(directory, 'licenses', `${name}.txt`));
  }
}

async function place(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}
