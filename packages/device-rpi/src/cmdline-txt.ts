// cmdline.txt: the kernel's arguments, all on the first line; the firmware reads no other.

/** The words of the first line. */
export function parseCommandLine(text: string): readonly string[] {
  const [line = ''] = text.split(/\r?\n/);
  return line.split(/\s+/).filter((word) => word !== '');
}

/** One line, ended by a newline. */
export function printCommandLine(words: readonly string[]): string {
  return `${words.join(' ')}\n`;
}

/** The value of the last `name=value`, as the kernel takes it; undefined where there is none. */
export function argumentValue(words: readonly string[], name: string): string | undefined {
  return words.findLast((word) => word.startsWith(`${name}=`))?.slice(name.length + 1);
}

/**
 * The arguments of stage 2 after those of the old system. All old ones stay: where the initramfs cannot be read, the kernel
 * finds no /migrate/init, mounts root= and starts the old system. With root= given, the initramfs is an unlimited ramfs
 * (init/do_mounts.c), and `rootfstype=` would be taken for the old root file system, so that one is left out.
 */
export function stage2Words({
  old,
  running,
  wanted,
}: {
  /** Words of cmdline.txt. */
  old: readonly string[];
  /** The running kernel's own command line: what it has, the firmware gives again. */
  running: string;
  wanted: readonly string[];
}): readonly string[] {
  const given = new Set([...running.split(/\s+/), ...old]);
  return [...old, ...wanted.filter((word) => !given.has(word) && !word.startsWith('rootfstype='))];
}
