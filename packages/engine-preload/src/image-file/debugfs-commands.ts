// Commands of debugfs(8) that make one name in an ext4 file system with all that belongs to it. They stand on lines, in words that
// quotes hold together (libss). A name's characters are its bytes (latin1).
import { MigrateError } from '@migrate/core';
import { type BlockRun, blocksOf } from './file-blocks.ts';
import type { LayerMember } from './layer-member.ts';

/** debugfs reads lines into a buffer of 8 KiB. */
const longestLine = 8000;

const kindBits: Readonly<Record<LayerMember['kind'], number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  'block-device': 0o060000,
  'character-device': 0o020000,
  fifo: 0o010000,
  'hard-link': 0,
};

export function command(...words: readonly string[]): string {
  const line = words.map(quotedWord).join(' ');
  if (line.length > longestLine) throw unsupported(words.at(-1) ?? '', 'its path is too long');
  return line;
}

/** A doubled quote stands for itself inside quotes; nothing can stand for a line break. */
function quotedWord(word: string): string {
  if (/[\n\r\0]/.test(word)) throw unsupported(word, 'there is a line break in its name');
  return /^[a-zA-Z0-9_./@=-]+$/.test(word) ? word : `"${word.replaceAll('"', '""')}"`;
}

/** Makes the name in the current directory; a file gets blocks for its data, and debugfs is asked where they lie. */
export function makeCommands(member: LayerMember, name: string, blockBytes: number): readonly string[] {
  const { major = 0, minor = 0 } = member.represents ?? {};
  switch (member.kind) {
    case 'file':
      return [
        command('write', '/dev/null', name),
        ...blocksOf(member.ranges, blockBytes).map(([first, last]) =>
          command('fallocate', name, String(first), String(last)),
        ),
        command('set_inode_field', name, 'size', String(member.sizeBytes)),
        command('ex', '-l', name),
      ];
    case 'directory':
      return [command('mkdir', name)];
    case 'symlink':
      return [command('symlink', name, member.linkName)];
    case 'fifo':
      return [command('mknod', name, 'p')];
    case 'character-device':
      return [command('mknod', name, 'c', String(major), String(minor))];
    case 'block-device':
      return [command('mknod', name, 'b', String(major), String(minor))];
    case 'hard-link':
      return [];
  }
}

/** Says that the blocks of a file have been written: until then they read as zeros. */
export function writtenCommands(path: string, runs: readonly BlockRun[]): readonly string[] {
  if (runs.length === 0) return [];
  const replaced = runs.flatMap(({ logical, physical, count }) => [
    command('goto_block', String(logical)),
    command('replace_node', String(logical), String(count), String(physical)),
  ]);
  return [command('extent_open', path), ...replaced, 'extent_close'];
}

/**
 * Sets owner, mode, time and attributes of a path. `valueFiles`: paths of files with the attributes' values, in their order.
 * Nanoseconds and the bits above 2^32 seconds have a field of their own (kernel, Documentation/filesystems/ext4, "Timestamps").
 */
export function attributeCommands(member: LayerMember, path: string, valueFiles: readonly string[]): readonly string[] {
  const seconds = member.modifiedNs / 1_000_000_000n - (member.modifiedNs % 1_000_000_000n < 0n ? 1n : 0n);
  const nanoseconds = member.modifiedNs - seconds * 1_000_000_000n;
  const low = BigInt.asUintN(32, seconds);
  // The low half counts as signed; the two bits above it repair that.
  const epoch = BigInt.asUintN(2, (seconds - BigInt.asIntN(32, seconds)) >> 32n);
  const extra = (nanoseconds << 2n) | epoch;
  const set = (field: string, value: string): string => command('set_inode_field', path, field, value);
  return [
    set('mode', `0${(kindBits[member.kind] | member.mode).toString(8)}`),
    set('uid', String(member.uid)),
    set('gid', String(member.gid)),
    set('mtime', `@${low}`),
    set('mtime_extra', String(extra)),
    ...member.attributes.map(({ name }, index) => command('ea_set', '-f', valueFiles[index] ?? '', path, name)),
  ];
}

function unsupported(name: string, why: string): MigrateError {
  const shown = JSON.stringify(Buffer.from(name, 'latin1').toString('utf8').slice(-200));
  return new MigrateError(
    'unsupported',
    `${shown} cannot be written into an image file: ${why}; mount resin-data instead`,
  );
}
