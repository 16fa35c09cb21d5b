// One member of an archive: its pax records, its header and its contents.
import {
  type ByteRange,
  type ByteReader,
  type ExtendedAttribute,
  type FileTree,
  MigrateError,
  type TreeEntry,
} from '@migrate/core';
import { aclText } from './acl-text.ts';
import { type PaxRecord, paxHeader, paxTime } from './pax-records.ts';
import { sparseMap, sparseRegions, totalBytes } from './sparse-map.ts';
import { fitsTarField, type TarHeader, type TarType, tarHeader, tarNameBytes, tarPadding } from './tar-header.ts';

export interface Member {
  readonly entry: TreeEntry;
  readonly path: Buffer;
  /** Path of the member that this one is another name of. */
  readonly hardLinkTo?: Buffer;
}

const readBytes = 1024 * 1024;
/**
 * Files with smaller holes are stored with zeros in them: mke2fs makes a hole of any block of zeros, so that libraries and
 * programs are full of small ones, and archives with those are only right where GNU.sparse is known (busybox's tar does not).
 */
const smallestHolesBytes = 64 * 1024;
const nanosecondsPerSecond = 1_000_000_000n;

const types: Readonly<Record<Exclude<TreeEntry['kind'], 'socket'>, TarType>> = {
  file: '0',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};

/** A member without contents: all but regular files. */
export async function* archiveHeader(tree: FileTree, member: Member): AsyncGenerator<Uint8Array> {
  const { entry, hardLinkTo } = member;
  if (entry.kind === 'socket') throw new MigrateError('internal', 'a socket cannot be put into an archive');
  if (hardLinkTo !== undefined) {
    yield headerBlocks(member, { type: '1', linkPath: hardLinkTo, records: [] });
    return;
  }
  const linkPath = entry.kind === 'symlink' ? Buffer.from(await tree.linkTarget(entry)) : undefined;
  yield headerBlocks(member, {
    type: types[entry.kind],
    records: attributeRecords(await tree.extendedAttributes(entry)),
    ...(linkPath === undefined ? {} : { linkPath }),
  });
}

export interface FileListener {
  /** Told of bytes before they are read. */
  readonly onData: (bytes: number) => void;
  /** Told of the bytes of holes that are stored as zeros. */
  readonly onHoleFilled: (bytes: number) => void;
}

/** A regular file with its contents. */
export async function* archiveFile(
  tree: FileTree,
  member: Member,
  { onData, onHoleFilled }: FileListener,
): AsyncGenerator<Uint8Array> {
  const { entry, path } = member;
  const { sizeBytes } = entry;
  const records = attributeRecords(await tree.extendedAttributes(entry));
  const ranges = sparseRegions(await tree.dataRanges(entry), sizeBytes);
  const dataBytes = totalBytes(ranges);
  if (sizeBytes - dataBytes < smallestHolesBytes) {
    onHoleFilled(sizeBytes - dataBytes);
    yield headerBlocks(member, { type: '0', contentBytes: sizeBytes, records });
    yield* contents(tree.open(entry), { startByte: 0, endByte: sizeBytes }, onData);
    yield Buffer.alloc(tarPadding(sizeBytes));
    return;
  }
  const map = sparseMap(ranges, sizeBytes);
  const sparse: PaxRecord[] = [
    ['GNU.sparse.major', '1'],
    ['GNU.sparse.minor', '0'],
    ['GNU.sparse.name', path],
    ['GNU.sparse.realsize', String(sizeBytes)],
  ];
  const stored = { ...member, path: Buffer.concat([Buffer.from('./GNUSparseFile.0/'), entry.name]) };
  yield headerBlocks(stored, { type: '0', contentBytes: map.length + dataBytes, records: [...records, ...sparse] });
  yield map;
  const reader = tree.open(entry);
  for (const range of ranges) yield* contents(reader, range, onData);
  yield Buffer.alloc(tarPadding(dataBytes));
}

async function* contents(
  reader: ByteReader,
  { startByte, endByte }: ByteRange,
  onData: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for (let position = startByte; position < endByte; ) {
    const bytes = Buffer.allocUnsafe(Math.min(readBytes, endByte - position));
    onData(bytes.length);
    if ((await reader.read(bytes, position)) !== bytes.length)
      throw new MigrateError(
        'invalid-input',
        `the file system is damaged: a file ends before its size, at ${position}`,
      );
    yield bytes;
    position += bytes.length;
  }
}

interface HeaderContents {
  readonly type: TarType;
  readonly records: readonly PaxRecord[];
  readonly linkPath?: Buffer;
  /** Bytes of contents as the archive stores them. */
  readonly contentBytes?: number;
}

/** The pax header, where one is needed, and the header. */
function headerBlocks({ entry, path }: Member, { type, records, linkPath, contentBytes = 0 }: HeaderContents): Buffer {
  const { uid, gid, modifiedNs } = entry;
  const seconds = modifiedNs / nanosecondsPerSecond;
  const isWholeSecond = modifiedNs % nanosecondsPerSecond === 0n;
  const isSparse = records.some(([keyword]) => keyword === 'GNU.sparse.name');
  const own: PaxRecord[] = [];
  if (path.length > tarNameBytes && !isSparse) own.push(['path', path]);
  if (linkPath !== undefined && linkPath.length > tarNameBytes) own.push(['linkpath', linkPath]);
  if (!fitsTarField(uid, 8)) own.push(['uid', String(uid)]);
  if (!fitsTarField(gid, 8)) own.push(['gid', String(gid)]);
  if (!fitsTarField(contentBytes, 12)) own.push(['size', String(contentBytes)]);
  if (!isWholeSecond || !fitsTarField(Number(seconds), 12)) own.push(['mtime', paxTime(modifiedNs)]);
  const header: TarHeader = {
    type,
    path,
    mode: entry.mode,
    uid,
    gid,
    sizeBytes: contentBytes,
    modifiedS: Number(seconds),
    ...(linkPath === undefined ? {} : { linkPath }),
    ...(entry.represents === undefined ? {} : { device: entry.represents }),
  };
  return Buffer.concat([paxHeader([...own, ...records]), tarHeader(header)]);
}

const aclKeywords: Readonly<Record<string, string>> = {
  'system.posix_acl_access': 'SCHILY.acl.access',
  'system.posix_acl_default': 'SCHILY.acl.default',
};

/** Extended attributes as GNU tar and libarchive write and restore them. */
export function attributeRecords(attributes: readonly ExtendedAttribute[]): readonly PaxRecord[] {
  return attributes.map(({ name, value }): PaxRecord => {
    const keyword = aclKeywords[name];
    return keyword === undefined ? [`SCHILY.xattr.${escaped(name)}`, value] : [keyword, aclText(value)];
  });
}

/** A keyword ends at its first "="; GNU tar escapes it so (xheader.c, xattr_encode_keyword). */
function escaped(name: string): string {
  return name.replaceAll('%', '%25').replaceAll('=', '%3D');
}
