// Writes members of layers into an ext4 file system of an image file: their contents into files of a scratch directory, the rest
// into a script, which one debugfs then runs.
import { type Host, MigrateError } from '@migrate/core';
import { attributeCommands, command, makeCommands } from './debugfs-commands.ts';
import { type Ext4File, editExt4 } from './ext4-file.ts';
import type { LayerMember } from './layer-member.ts';

const zeros = new Uint8Array(1024 * 1024);

export interface MemberWriter {
  /** Takes a member in; directories must come before what is in them. `base` is the path in the file system. */
  add(member: LayerMember, base: string): Promise<void>;
  /** A command of its own, before what is added later. */
  run(line: string): void;
  /** Makes all of it, in one go. */
  finish(): Promise<void>;
}

/** `scratch` is an empty directory, and is left with files in it. */
export function memberWriter(host: Host, file: Ext4File, scratch: string): MemberWriter {
  const lines: string[] = [];
  /** Last, and the deepest first: what is made in a directory changes its time. */
  const directoryLines: (readonly string[])[] = [];
  const linkCounts = new Map<string, number>();
  let current = '/';
  let files = 0;
  const newFile = (): string => {
    files += 1;
    return `${scratch}/${files}`;
  };
  const valueFilesOf = async (member: LayerMember): Promise<readonly string[]> => {
    const paths: string[] = [];
    for (const { value } of member.attributes) {
      const path = newFile();
      await host.writeNew(path, value, { mode: 0o600 });
      paths.push(path);
    }
    return paths;
  };
  const add = async (member: LayerMember, base: string): Promise<void> => {
    if (member.hasAcl) throw refused(member, 'it has an access control list');
    const parts = partsOf(member, member.path);
    const path = [base, ...parts].join('/') || '/';
    const name = parts.at(-1);
    const values = await valueFilesOf(member);
    // The directory itself is there already.
    if (name === undefined) {
      directoryLines.push(attributeCommands(member, path, values));
      return;
    }
    const parent = [base, ...parts.slice(0, -1)].join('/') || '/';
    if (parent !== current) lines.push(command('cd', parent));
    current = parent;
    if (member.kind === 'hard-link') {
      const target = [base, ...partsOf(member, member.linkName)].join('/');
      linkCounts.set(target, (linkCounts.get(target) ?? 1) + 1);
      lines.push(command('ln', target, name));
      return;
    }
    const contents = member.kind === 'file' ? newFile() : '';
    if (member.kind === 'file') await writeContents(host, member, contents);
    lines.push(...makeCommands(member, name, contents));
    const attributes = attributeCommands(member, path, values);
    if (member.kind === 'directory') directoryLines.push(attributes);
    else lines.push(...attributes);
  };
  const finish = async (): Promise<void> => {
    // debugfs makes the name and leaves the count to the caller.
    for (const [path, count] of linkCounts) lines.push(command('set_inode_field', path, 'links_count', String(count)));
    const script = [...lines, ...directoryLines.reverse().flat(), ''].join('\n');
    await host.writeNew(`${scratch}/script`, Buffer.from(script, 'latin1'), { mode: 0o600 });
    await editExt4(host, file, `${scratch}/script`);
  };
  return { add, finish, run: (line) => lines.push(line) };
}

/** `./a/b` as its parts; a path that leads elsewhere is refused. */
function partsOf(member: LayerMember, path: string): readonly string[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  if (path.startsWith('/') || parts.includes('..')) throw refused(member, 'its path leads out of the layer');
  return parts;
}

async function writeContents(host: Host, member: LayerMember, path: string): Promise<void> {
  await host.writeNew(path, new Uint8Array(), { mode: 0o600 });
  const file = await host.openWrite(path);
  try {
    let position = 0;
    for await (const chunk of member.contents()) {
      // Holes stay holes; debugfs sees them. The last byte gives the file its size.
      const isLast = position + chunk.length === member.sizeBytes;
      if (isLast || !isZero(chunk)) await file.write(chunk, position);
      position += chunk.length;
    }
    if (position !== member.sizeBytes) throw refused(member, 'its contents are not of the size that is said');
  } finally {
    await file.close();
  }
}

function isZero(chunk: Uint8Array): boolean {
  return chunk.length <= zeros.length && Buffer.compare(chunk, zeros.subarray(0, chunk.length)) === 0;
}

function refused({ path }: LayerMember, why: string): MigrateError {
  const shown = JSON.stringify(Buffer.from(path, 'latin1').toString('utf8'));
  return new MigrateError('unsupported', `${shown} cannot be written into an image file: ${why}`);
}
