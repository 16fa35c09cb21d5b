// Writes members of layers into an ext4 file system of an image file. A first debugfs makes the names and gives files their blocks;
// contents then go straight to where these lie, so that no byte is written twice; a second debugfs says that they are written.
import { type Host, MigrateError } from '@migrate/core';
import { removeTrees } from '../transplant/journal.ts';
import { type BlockWriter, blockWriter } from './block-writer.ts';
import { attributeCommands, command, makeCommands, writtenCommands } from './debugfs-commands.ts';
import { type Ext4File, editExt4 } from './ext4-file.ts';
import { type BlockRun, blocksOf, parseBlockRuns } from './file-blocks.ts';
import type { LayerMember } from './layer-member.ts';

/** Members below one directory. */
export interface MemberGroup {
  /** Path of the directory in the file system. */
  readonly base: string;
  /** Commands of debugfs that come before the members. */
  readonly before?: readonly string[];
  /** Directories before what is in them. Asked for twice: for the names, and for the contents. */
  members(): AsyncIterable<LayerMember> | Iterable<LayerMember>;
  /** Called when their contents are written. */
  readonly onWritten?: () => void;
}

export interface MemberTarget {
  readonly host: Host;
  readonly file: Ext4File;
  readonly blockBytes: number;
  /** A path for a directory of our own, which is made and removed. */
  readonly scratch: string;
}

export interface MemberWriter {
  add(group: MemberGroup): Promise<void>;
  /** Makes all that was added; without it some may not be there. */
  finish(): Promise<void>;
}

/** Groups are made together up to so many commands: each debugfs costs a sync of the image, each command some memory. */
const commandsAtOnce = 200_000;

interface Batch {
  readonly groups: MemberGroup[];
  readonly lines: string[];
  /** Last, and the deepest first: what is made in a directory changes its time. */
  readonly directoryLines: (readonly string[])[];
  readonly linkCounts: Map<string, number>;
  /** In the order of `groups`. */
  readonly files: { readonly path: string; readonly sizeBytes: number; readonly blocks: number }[];
  values: number;
  current: string;
}

export function memberWriter(target: MemberTarget): MemberWriter {
  let batch = emptyBatch();
  const finish = async (): Promise<void> => {
    const { host, scratch } = target;
    try {
      if (batch.groups.length > 0) await makeBatch(target, batch);
    } finally {
      batch = emptyBatch();
      await removeTrees(host, [scratch]);
    }
  };
  const add = async (group: MemberGroup): Promise<void> => {
    if (batch.groups.length === 0) await target.host.makeDirectory(target.scratch, 0o700);
    batch.groups.push(group);
    batch.lines.push(...(group.before ?? []));
    for await (const member of group.members()) await addNames(target, batch, { member, base: group.base });
    if (batch.lines.length > commandsAtOnce) await finish();
  };
  return { add, finish };
}

function emptyBatch(): Batch {
  return { groups: [], lines: [], directoryLines: [], linkCounts: new Map(), files: [], values: 0, current: '/' };
}

async function addNames(
  { host, scratch, blockBytes }: MemberTarget,
  batch: Batch,
  { member, base }: { member: LayerMember; base: string },
): Promise<void> {
  if (member.hasAcl) throw refused(member, 'it has an access control list');
  const parts = partsOf(member, member.path);
  const path = pathOf(base, parts);
  const name = parts.at(-1);
  const values: string[] = [];
  for (const { value } of member.attributes) {
    batch.values += 1;
    values.push(`${scratch}/${batch.values}`);
    await host.writeNew(`${scratch}/${batch.values}`, value, { mode: 0o600 });
  }
  // The directory itself is there already.
  if (name === undefined) {
    batch.directoryLines.push(attributeCommands(member, path, values));
    return;
  }
  const parent = pathOf(base, parts.slice(0, -1));
  if (parent !== batch.current) batch.lines.push(command('cd', parent));
  batch.current = parent;
  if (member.kind === 'hard-link') {
    const first = pathOf(base, partsOf(member, member.linkName));
    batch.linkCounts.set(first, (batch.linkCounts.get(first) ?? 1) + 1);
    batch.lines.push(command('ln', first, name));
    return;
  }
  if (member.kind === 'file') {
    const blocks = blocksOf(member.ranges, blockBytes).reduce((sum, [first, last]) => sum + last - first + 1, 0);
    batch.files.push({ path, sizeBytes: member.sizeBytes, blocks });
  }
  batch.lines.push(...makeCommands(member, name, blockBytes));
  const attributes = attributeCommands(member, path, values);
  if (member.kind === 'directory') batch.directoryLines.push(attributes);
  else batch.lines.push(...attributes);
}

async function makeBatch(target: MemberTarget, batch: Batch): Promise<void> {
  const { files, lines, linkCounts, directoryLines } = batch;
  // debugfs makes the name and leaves the count to the caller.
  const counts = [...linkCounts].map(([path, count]) => command('set_inode_field', path, 'links_count', String(count)));
  const said = await edit(target, [...lines, ...counts, ...directoryLines.reverse().flat()]);
  const runs = parseBlockRuns(said);
  if (runs.length !== files.length)
    throw new MigrateError(
      'command-failed',
      `debugfs tells of the blocks of ${runs.length} files, not ${files.length}`,
    );
  for (const [index, { path, blocks }] of files.entries()) {
    const given = (runs[index] ?? []).reduce((sum, { count }) => sum + count, 0);
    // Bytes without a block would be lost without a word.
    if (given !== blocks)
      throw new MigrateError('command-failed', `debugfs gave ${given} blocks to ${path}, which needs ${blocks}`);
  }
  await writeContents(target, batch, runs);
  await edit(
    target,
    files.flatMap(({ path }, index) => writtenCommands(path, runs[index] ?? [])),
  );
}

async function edit({ host, file, scratch }: MemberTarget, lines: readonly string[]): Promise<string> {
  if (lines.length === 0) return '';
  const script = `${scratch}/script`;
  await host.writeNew(script, Buffer.from(`${lines.join('\n')}\n`, 'latin1'), { mode: 0o600 });
  const said = await editExt4(host, file, script);
  await host.removeFile(script);
  return said;
}

async function writeContents(
  { host, file, blockBytes }: MemberTarget,
  { groups, files }: Batch,
  runs: readonly (readonly BlockRun[])[],
): Promise<void> {
  const image = await host.openWrite(file.path);
  try {
    const writer: BlockWriter = blockWriter(image, { startByte: file.offsetBytes, blockBytes });
    let index = 0;
    for (const group of groups) {
      for await (const member of group.members()) {
        if (member.kind !== 'file') continue;
        const planned = files[index];
        const path = pathOf(group.base, partsOf(member, member.path));
        if (planned?.path !== path || planned.sizeBytes !== member.sizeBytes)
          throw new MigrateError('read-failed', 'a layer has changed while it was read');
        await writer.write({ sizeBytes: member.sizeBytes, runs: runs[index] ?? [], contents: member.contents() });
        index += 1;
      }
      group.onWritten?.();
    }
    await writer.finish();
  } finally {
    await image.close();
  }
}

function pathOf(base: string, parts: readonly string[]): string {
  return [base, ...parts].join('/') || '/';
}

/** `./a/b` as its parts; a path that leads elsewhere is refused. */
function partsOf(member: LayerMember, path: string): readonly string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (path.startsWith('/') || parts.includes('..')) throw refused(member, 'its path leads out of the layer');
  return parts;
}

function refused({ path }: LayerMember, why: string): MigrateError {
  const shown = JSON.stringify(Buffer.from(path, 'latin1').toString('utf8'));
  return new MigrateError('unsupported', `${shown} cannot be written into an image file: ${why}`);
}
