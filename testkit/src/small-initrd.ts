// A small initramfs of busybox, some kernel modules and a script, for systems of the test kit of any architecture.
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';

export interface SmallInitrd {
  /** Statically linked busybox of the architecture. */
  readonly busybox: string;
  /** A tree with lib/modules/RELEASE and its index. */
  readonly root: string;
  readonly release: string;
  /** Names for modprobe, loaded in this order after what they need; names that are built in or unknown are left out. */
  readonly modules: readonly string[];
  /** Script for busybox; the modules lie in /modules, their names in load order in /modules.order. */
  readonly init: string;
}

/** Writes the archive, compressed with gzip. */
export async function makeInitrd(path: string, { busybox, root, release, modules, init }: SmallInitrd): Promise<void> {
  const tree = await mkdtemp(join(tmpdir(), 'migrate-initrd-'));
  try {
    for (const name of ['bin', 'proc', 'sys', 'dev', 'modules']) await mkdir(join(tree, name));
    await copyFile(busybox, join(tree, 'bin/busybox'));
    const files = await moduleFiles({ root, release, modules });
    for (const file of files) await copyFile(file, join(tree, 'modules', basename(file)));
    await writeFile(join(tree, 'modules.order'), files.map((file) => `${basename(file)}\n`).join(''));
    await writeFile(join(tree, 'init'), init);
    for (const name of ['bin/busybox', 'init']) await chmod(join(tree, name), 0o755);
    const pack = 'find . | LC_ALL=C sort | cpio -o -H newc --quiet --owner=0:0 | gzip -6n >"$1"';
    await execa('sh', ['-c', pack, 'pack', path], { cwd: tree });
  } finally {
    await rm(tree, { recursive: true });
  }
}

/** Paths of the modules in load order; the modules as Debian has them, not compressed. */
export async function moduleFiles({
  root,
  release,
  modules,
}: Omit<SmallInitrd, 'busybox' | 'init'>): Promise<string[]> {
  const files = new Set<string>();
  for (const name of modules) {
    const arguments_ = ['--dirname', root, '--set-version', release, '--show-depends', name];
    const { stdout } = await execa('modprobe', arguments_, { reject: false });
    for (const match of stdout.matchAll(/^insmod (\S+)/gm)) if (match[1] !== undefined) files.add(match[1]);
  }
  return [...files];
}
