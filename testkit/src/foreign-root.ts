// Debian 12 for another architecture, as a tree on this machine. No program of it is run: packages are unpacked, and what their
// maintainer scripts would have made is made here, as far as a test system needs it.
import { copyFile, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from './cached.ts';

/** Changes when what is made here does. */
const recipe = 1;

export interface ForeignRootOptions {
  readonly architecture: 'arm64' | 'armhf';
  /** Beside Debian's required packages; a kernel where one is wanted ("linux-image-arm64"). */
  readonly packages: readonly string[];
  /** Directories below /lib/modules/RELEASE/kernel that stay; all where it is left out. */
  readonly moduleDirectories?: readonly string[];
}

/**
 * The tree, made once; callers must not change it. A kernel lies in boot/vmlinuz-RELEASE, its device trees in
 * usr/lib/linux-image-RELEASE, its modules are indexed. Needs root, as the files belong to it.
 */
export async function foreignRoot(options: ForeignRootOptions): Promise<string> {
  const directory = await cached(`foreign-${options.architecture}`, { recipe, ...options }, async (unfinished) => {
    const root = join(unfinished, 'root');
    const arguments_ = ['--foreign', '--variant=minbase', `--arch=${options.architecture}`];
    const include = `--include=${options.packages.join(',')}`;
    await execa('debootstrap', [...arguments_, include, 'bookworm', root, 'http://deb.debian.org/debian']);
    await unpack(root);
    await configure(root);
    for (const release of await releases(root)) await indexModules(root, release, options.moduleDirectories);
  });
  return join(directory, 'root');
}

/** Releases of the kernels of a tree, as `uname -r`. */
export function releases(root: string): Promise<readonly string[]> {
  return readdir(join(root, 'lib/modules')).catch(() => []);
}

/** The first stage of debootstrap unpacks only the required packages; here come the others. */
async function unpack(root: string): Promise<void> {
  const archives = join(root, 'var/cache/apt/archives');
  // dpkg-deb --extract would put directories in the place of /bin, /lib and /sbin, which are links.
  const script = 'dpkg-deb --fsys-tarfile "$1" | tar -C "$2" --keep-directory-symlink --skip-old-files -xf -';
  for (const name of await readdir(archives)) {
    if (name.endsWith('.deb'))
      await execa('bash', ['-o', 'pipefail', '-c', script, 'unpack', join(archives, name), root]);
  }
  await rm(archives, { recursive: true });
  await rm(join(root, 'debootstrap'), { recursive: true });
}

async function configure(root: string): Promise<void> {
  // debootstrap links /proc to this machine's where it cannot mount one.
  for (const name of ['proc', 'dev', 'sys', 'run', 'tmp']) {
    await rm(join(root, name), { recursive: true, force: true });
    await mkdir(join(root, name));
  }
  // The kernel opens it for init before anything is mounted.
  await execa('mknod', ['-m', '600', join(root, 'dev/console'), 'c', '5', '1']);
  for (const name of ['passwd', 'group'])
    await copyFile(join(root, `usr/share/base-passwd/${name}.master`), join(root, `etc/${name}`));
  const links = { 'usr/bin/awk': 'mawk', 'etc/mtab': '../proc/self/mounts' };
  for (const [path, target] of Object.entries(links)) await execa('ln', ['-sf', target, join(root, path)]);
  await writeFile(join(root, 'etc/machine-id'), '');
  for (const path of ['usr/share/doc', 'usr/share/locale', 'usr/share/man', 'usr/share/info', 'var/lib/apt/lists'])
    await rm(join(root, path), { recursive: true, force: true });
}

async function indexModules(root: string, release: string, kept: readonly string[] | undefined): Promise<void> {
  const kernel = join(root, 'lib/modules', release, 'kernel');
  if (kept !== undefined) {
    const whole = `${kernel}.whole`;
    await execa('mv', [kernel, whole]);
    for (const path of kept) {
      await mkdir(join(kernel, path, '..'), { recursive: true });
      await execa('mv', [join(whole, path), join(kernel, path)]);
    }
    await rm(whole, { recursive: true });
  }
  await execa('depmod', ['--basedir', root, release]);
}
