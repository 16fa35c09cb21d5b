// The loader, C and C++ libraries and busybox of the bundle, out of Debian 12's packages; never what this machine has installed.

import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import { debianParts } from './parts.ts';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
}

/** What apt would download now; the cure is in the message where apt knows no suitable version. */
export async function debianPackages(): Promise<readonly DebianPackage[]> {
  const names = debianParts.map((part) => part.name);
  // apt leaves out what lies in the current directory already, so not the caller's.
  const here = { cwd: import.meta.dirname };
  const { stdout } = await execa('apt-get', ['download', '--print-uris', ...names], here).catch((cause: unknown) => {
    throw new Error('apt-get knows no package to download; run `apt-get update`', { cause });
  });
  const files = [...stdout.matchAll(/^'[^']+' (\S+?)_(\S+)_amd64\.deb /gm)];
  return debianParts.map(({ name, version: wanted }) => {
    const version = files.find((match) => match[1] === name)?.[2]?.replaceAll('%3a', ':');
    if (version === undefined || !wanted.test(version)) {
      throw new Error(`the bundle needs Debian 12's ${name} (${wanted.source}), apt offers ${version ?? 'none'}`);
    }
    return { name, version };
  });
}

/** Directory with `runtime/` and `licenses/` filled from the given packages; made on first use. */
export async function debianPart(packages: readonly DebianPackage[]): Promise<string> {
  const wanted = packages.map(({ name, version }) => `${name}=${version}`);
  return cached(
    'bundle-debian',
    [wanted, debianParts.map((part) => [part.files, part.copyright])],
    async (directory) => {
      const downloads = join(directory, 'downloads');
      await mkdir(downloads);
      // apt checks what it downloads against the signed package lists; a "404" means that they are old (apt-get update).
      await execa('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', ...wanted], { cwd: downloads });
      for (const archive of await readdir(downloads)) await extract(join(downloads, archive), directory);
      await execa('rm', ['-r', downloads]);
    },
  );
}

async function extract(archive: string, directory: string): Promise<void> {
  const { stdout: name } = await execa('dpkg-deb', ['--field', archive, 'Package']);
  const part = debianParts.find((candidate) => candidate.name === name);
  if (part === undefined) throw new Error(`${archive} holds ${name}, which was not asked for`);
  const tree = `${archive}.d`;
  await execa('dpkg-deb', ['--extract', archive, tree]);
  for (const [from, to] of Object.entries(part.files)) await place(join(tree, from), join(directory, 'runtime', to));
  if (part.copyright !== undefined) {
    await place(join(tree, part.copyright), join(directory, 'licenses', `${name}.txt`));
  }
}

async function place(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true });
  await copyFile(from, to);
}
