// Volumes as one tar archive, for the tar of balena's supervisor: busybox's, which knows nothing of sparse files and no pax record
// but names. So holes are zeros, long names are GNU tar's, and large numbers are in base 256; all of it is known to every other tar.
import {
  type BackupMember,
  type ByteReader,
  backupMembers,
  type HostReader,
  MigrateError,
  quoted,
  type RequestedVolume,
  type TreeEntry,
} from '@migrate/core';
import { paxHeader } from '../extract/pax-records.ts';
import { type TarType, tarBlockBytes, tarHeader, tarNameBytes, tarPadding } from '../extract/tar-header.ts';
import { attributeRecords } from '../extract/tar-member.ts';

export interface ArchiveOptions {
  /** Directories that are never entered. */
  readonly leaveOut: readonly string[];
  /** Told how many bytes of files were read since the last time. */
  readonly onData: (bytes: number) => void;
  /** Told in a sentence what is not in the archive as it is on the system. */
  readonly onChange: (text: string) => void;
}

const readBytes = 256 * 1024;
const longestShownPath = 200;

/** The archive in chunks that the receiver must use before it asks for the next. Errors are those of backupMembers and of reading. */
export async function* archiveBackup(
  host: HostReader,
  volumes: readonly RequestedVolume[],
  options: ArchiveOptions,
): AsyncGenerator<Uint8Array> {
  const attributes = createAttributes(options);
  for (const volume of volumes) {
    const firstPaths = new Map<unknown, Map<string, Buffer>>();
    for await (const member of backupMembers(host, volume, { leaveOut: options.leaveOut, onLeftOut: () => {} })) {
      if (member.found === undefined) {
        yield headers(member.path, madeDirectory);
        continue;
      }
      const { entry, tree, source, item } = member.found;
      const links = firstPaths.get(item) ?? new Map<string, Buffer>();
      firstPaths.set(item, links);
      const first = entry.kind === 'file' && entry.links > 1 ? links.get(entry.identity) : undefined;
      if (first !== undefined) {
        yield headers(member.path, { ...entry, type: '1', linkPath: first });
      } else if (entry.kind === 'file') {
        const record = await attributes(member);
        const reader = await tree.open(entry);
        if (reader === undefined) {
          options.onChange(`${shown(source)} has gone since it was listed, and is left out`);
          continue;
        }
        if (entry.links > 1) links.set(entry.identity, member.path);
        const header = headers(member.path, { ...entry, type: '0', contentBytes: reader.sizeBytes });
        yield* contents(reader, source, { ...options, header: Buffer.concat([record, header]) });
      } else {
        const linkPath = entry.kind === 'symlink' ? await tree.linkTarget(entry) : undefined;
        if (entry.kind === 'symlink' && linkPath === undefined) {
          options.onChange(`${shown(source)} has gone since it was listed, and is left out`);
          continue;
        }
        yield await attributes(member);
        yield headers(member.path, { ...entry, type: typeOf(entry), ...(linkPath === undefined ? {} : { linkPath }) });
      }
    }
  }
  yield Buffer.alloc(2 * tarBlockBytes);
}

interface MemberHeader extends Pick<TreeEntry, 'mode' | 'uid' | 'gid' | 'modifiedNs'> {
  readonly type: TarType;
  readonly linkPath?: Uint8Array;
  readonly contentBytes?: number;
}

/** A directory that only the configuration names. */
const madeDirectory: MemberHeader = { type: '5', mode: 0o755, uid: 0, gid: 0, modifiedNs: 0n };

function typeOf({ kind }: TreeEntry): TarType {
  if (kind === 'directory') return '5';
  return kind === 'symlink' ? '2' : '6';
}

/** Times are whole seconds: a record for each file would make many archives twice as long. */
function headers(name: Buffer, { type, mode, uid, gid, modifiedNs, linkPath, contentBytes = 0 }: MemberHeader): Buffer {
  const path = type === '5' ? Buffer.concat([name, Buffer.from('/')]) : name;
  const modifiedS = Number(modifiedNs / 1_000_000_000n);
  return Buffer.concat([
    longName('K', linkPath),
    longName('L', path),
    tarHeader({
      type,
      path,
      mode,
      uid,
      gid,
      sizeBytes: contentBytes,
      modifiedS,
      ...(linkPath === undefined ? {} : { linkPath }),
    }),
  ]);
}

/** GNU tar's manual, "GNU format": the name, ended by NUL, as the contents of an entry of its own. */
function longName(type: 'L' | 'K', name: Uint8Array | undefined): Buffer {
  if (name === undefined || name.length <= tarNameBytes) return Buffer.alloc(0);
  const sizeBytes = name.length + 1;
  const header = tarHeader({ type, path: Buffer.from('././@LongLink'), sizeBytes });
  return Buffer.concat([header, name, Buffer.alloc(1 + tarPadding(sizeBytes))]);
}

/** The header, and as many bytes as the file had when it was opened, whatever becomes of it: the header says so. */
async function* contents(
  reader: ByteReader,
  source: string,
  { header, onData, onChange }: ArchiveOptions & { readonly header: Buffer },
): AsyncGenerator<Uint8Array> {
  const { sizeBytes } = reader;
  try {
    yield header;
    let position = 0;
    while (position < sizeBytes) {
      const chunk = Buffer.alloc(Math.min(readBytes, sizeBytes - position));
      const count = await reader.read(chunk, position);
      if (count === 0) break;
      onData(count);
      yield chunk.subarray(0, count);
      position += count;
    }
    if (position < sizeBytes) {
      onChange(`${shown(source)} became shorter while it was read: its last ${sizeBytes - position} bytes are zeros`);
      yield* zeros(sizeBytes - position);
    } else if ((await reader.read(Buffer.alloc(1), sizeBytes)) > 0) {
      onChange(`${shown(source)} grew while it was read: its first ${sizeBytes} bytes are taken`);
    }
    yield Buffer.alloc(tarPadding(sizeBytes));
  } finally {
    await reader.close();
  }
}

function* zeros(bytes: number): Generator<Uint8Array> {
  for (let left = bytes; left > 0; left -= readBytes) yield Buffer.alloc(Math.min(readBytes, left));
}

/** The record of a member's extended attributes. Without getfattr there are none, which is said once. */
function createAttributes({ onChange }: ArchiveOptions): (member: BackupMember) => Promise<Buffer> {
  let isMissing = false;
  return async ({ found }) => {
    if (found === undefined || isMissing) return Buffer.alloc(0);
    try {
      return paxHeader(attributeRecords(await found.tree.extendedAttributes(found.entry)));
    } catch (thrown) {
      if (!(thrown instanceof MigrateError) || thrown.code !== 'not-found') throw thrown;
      isMissing = true;
      onChange(`extended attributes of files are left out: ${thrown.message}`);
      return Buffer.alloc(0);
    }
  };
}

function shown(path: string): string {
  return quoted(path, longestShownPath);
}
