// Reads the members of a tar archive as GNU tar would, and refuses what the two could understand differently.
import {
  type ByteRange,
  type DeviceNumber,
  type ExtendedAttribute,
  MigrateError,
  type TreeEntryKind,
} from '@migrate/core';
import { type ByteQueue, byteQueue } from './byte-queue.ts';
import { type PaxRecords, parsePaxRecords, paxNumber } from './pax-records.ts';
import { readOldSparseMap, readPaxSparseMap } from './sparse-map.ts';
import { parseTarHeader, type TarHeader, tarBlockBytes } from './tar-header.ts';

export type TarMemberKind = Exclude<TreeEntryKind, 'socket'> | 'hard-link';

export interface TarMember {
  /** As written, one character for each byte (latin1): names need not be UTF-8. */
  readonly path: string;
  readonly kind: TarMemberKind;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size of a file, holes included; 0 for all else. */
  readonly sizeBytes: number;
  /** Ranges of a file that hold data; between them it reads as zeros. */
  readonly ranges: readonly ByteRange[];
  /** Target of a symlink, or path of a hard link's other name, one character for each byte. */
  readonly linkName: string;
  readonly represents?: DeviceNumber;
  /** Nanoseconds since 1970. */
  readonly modifiedNs: bigint;
  /** Extended attributes with their bytes; ACLs, which tar writes as text, are not among them. */
  readonly attributes: readonly ExtendedAttribute[];
  readonly hasAcl: boolean;
  /** Bytes of names and values of extended attributes and ACLs. */
  readonly attributeBytes: number;
  /** The file's bytes with its holes as zeros; may be taken once, before the next member is asked for. */
  contents(): AsyncGenerator<Uint8Array>;
}

const kinds: Readonly<Record<string, TarMemberKind>> = {
  0: 'file',
  1: 'hard-link',
  2: 'symlink',
  3: 'character-device',
  4: 'block-device',
  5: 'directory',
  6: 'fifo',
  S: 'file',
};

/** Attributes of one file may take 64 KiB each (linux/limits.h, XATTR_SIZE_MAX); a header far above is hostile. */
const maximumExtensionBytes = 1024 * 1024;
const zeros = new Uint8Array(64 * 1024);
const zeroBlock = zeros.subarray(0, tarBlockBytes);

interface Extensions {
  pax?: PaxRecords;
  longName?: string;
  longLink?: string;
}

/**
 * The members of an archive in order; `stream` is the archive without its compression. Takes the memory of one header and
 * one chunk. Throws `invalid-input` for damage, for forms that GNU tar would treat otherwise or with loss (multi-volume,
 * unknown member types and keywords), and where the end mark is missing.
 */
export async function* readTar(stream: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const queue = byteQueue(stream);
  let extensions: Extensions = {};
  for (;;) {
    const block = await queue.take(tarBlockBytes);
    if (block === undefined) throw damaged('the archive is cut off: it has no end mark');
    const header = parseTarHeader(block);
    if (header === undefined) break;
    if (await readExtension(header, queue, extensions)) continue;
    const opened = await openMember(header, queue, extensions);
    extensions = {};
    yield opened.member;
    await opened.finish();
  }
  if (Object.keys(extensions).length > 0) throw damaged('an extended header has no member');
  await checkEnd(queue);
}

/** Takes in what describes the next member; false for a member itself. */
async function readExtension(header: TarHeader, queue: ByteQueue, extensions: Extensions): Promise<boolean> {
  if (!['x', 'g', 'L', 'K'].includes(header.type)) return false;
  if (header.sizeBytes > maximumExtensionBytes)
    throw damaged(`an extended header has ${header.sizeBytes} bytes, more than ${maximumExtensionBytes}`);
  const padded = (await queue.take(paddedBytes(header.sizeBytes))) ?? Buffer.alloc(0);
  if (padded.length < header.sizeBytes) throw damaged('the archive is cut off in an extended header');
  const bytes = padded.subarray(0, header.sizeBytes);
  if (header.type === 'g') {
    const others = [...parsePaxRecords(bytes).keys()].filter((keyword) => keyword !== 'comment');
    if (others.length > 0) throw damaged(`it has ${others.join(', ')} for all members at once, which is not supported`);
  } else if (header.type === 'x') {
    if (extensions.pax !== undefined) throw damaged('a member has two extended headers');
    extensions.pax = parsePaxRecords(bytes);
  } else {
    const key = header.type === 'L' ? 'longName' : 'longLink';
    if (extensions[key] !== undefined) throw damaged('a member has two long names');
    extensions[key] = bytes.toString('latin1').replace(/\0.*$/s, '');
  }
  return true;
}

async function openMember(header: TarHeader, queue: ByteQueue, { pax = new Map(), longName, longLink }: Extensions) {
  const kind = kinds[header.type];
  if (kind === undefined)
    throw damaged(`it has a member of type ${JSON.stringify(header.type)} (${quotedPath(header.name)})`);
  const path = oneName(pax.get('GNU.sparse.name') ?? pax.get('path'), longName) ?? header.name;
  const linkName = oneName(pax.get('linkpath'), longLink) ?? header.linkName;
  if (path.includes('\0') || linkName.includes('\0')) throw damaged('a name has a NUL in it');
  const storedBytes = paxNumber(pax, 'size') ?? header.sizeBytes;
  if (kind !== 'file' && storedBytes > 0) throw damaged(`${quotedPath(path)} is a ${kind} with contents`);
  const map = header.type === 'S' ? await readOldSparseMap(header, queue) : await readPaxSparseMap(pax, queue);
  if (map !== undefined && kind !== 'file') throw damaged(`${quotedPath(path)} is a ${kind} with a sparse map`);
  const sizeBytes = map?.sizeBytes ?? storedBytes;
  const ranges = map?.ranges ?? (sizeBytes === 0 ? [] : [{ startByte: 0, endByte: sizeBytes }]);
  const dataBytes = storedBytes - (map?.mapBytes ?? 0);
  if (ranges.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0) !== dataBytes)
    throw damaged(`the sparse map of ${quotedPath(path)} does not fit its contents`);
  let leftBytes = dataBytes;
  const take = async function* (count: number): AsyncGenerator<Uint8Array> {
    for await (const piece of queue.pieces(count)) {
      leftBytes -= piece.length;
      yield piece;
    }
  };
  const member: TarMember = {
    path,
    kind,
    mode: header.mode,
    uid: paxNumber(pax, 'uid') ?? header.uid,
    gid: paxNumber(pax, 'gid') ?? header.gid,
    sizeBytes,
    ranges,
    linkName,
    ...(kind.endsWith('-device') ? { represents: { major: header.major, minor: header.minor } } : {}),
    modifiedNs: modifiedNs(pax.get('mtime')) ?? BigInt(header.modifiedSeconds) * 1_000_000_000n,
    attributes: attributesOf(pax),
    hasAcl: [...pax.keys()].some((keyword) => keyword.startsWith('SCHILY.acl.')),
    attributeBytes: attributeBytes(pax),
    contents: async function* () {
      let position = 0;
      for (const { startByte, endByte } of ranges) {
        yield* hole(startByte - position);
        yield* take(endByte - startByte);
        position = endByte;
      }
      yield* hole(sizeBytes - position);
    },
  };
  const finish = async (): Promise<void> => {
    for await (const _ of queue.pieces(leftBytes + paddedBytes(storedBytes) - storedBytes));
  };
  return { member, finish };
}

function oneName(fromPax: string | undefined, fromGnu: string | undefined): string | undefined {
  if (fromPax !== undefined && fromGnu !== undefined) throw damaged('a member has two long names');
  return fromPax ?? fromGnu;
}

function attributesOf(pax: PaxRecords): ExtendedAttribute[] {
  const prefix = 'SCHILY.xattr.';
  return [...pax].flatMap(([keyword, value]) =>
    keyword.startsWith(prefix)
      ? [{ name: unescaped(keyword.slice(prefix.length)), value: Buffer.from(value, 'latin1') }]
      : [],
  );
}

/** A keyword ends at its first "="; GNU tar escapes it so (xheader.c, xattr_decode_keyword). */
function unescaped(name: string): string {
  return name.replaceAll('%3D', '=').replaceAll('%25', '%');
}

/** Of seconds with up to nine decimals. */
function modifiedNs(text: string | undefined): bigint | undefined {
  if (text === undefined) return undefined;
  const [, sign = '', seconds, decimals = ''] = /^(-?)(\d{1,15})(?:\.(\d*))?$/.exec(text) ?? [];
  if (seconds === undefined) throw damaged(`an extended header has mtime=${text.slice(0, 40)}`);
  const absolute = BigInt(seconds) * 1_000_000_000n + BigInt(decimals.slice(0, 9).padEnd(9, '0'));
  return sign === '-' ? -absolute : absolute;
}

function attributeBytes(pax: PaxRecords): number {
  let bytes = 0;
  for (const [keyword, value] of pax) {
    if (/^(SCHILY\.|RHT\.)/.test(keyword)) bytes += keyword.length + value.length;
  }
  return bytes;
}

function* hole(sizeBytes: number): Generator<Uint8Array> {
  for (let left = sizeBytes; left > 0; left -= zeros.length) yield zeros.subarray(0, Math.min(left, zeros.length));
}

/** The end mark is two blocks of zeros; archivers pad with more of them. What follows anything else would be lost. */
async function checkEnd(queue: ByteQueue): Promise<void> {
  let blocks = 1;
  for (let block = await queue.take(tarBlockBytes); block !== undefined; block = await queue.take(tarBlockBytes)) {
    if (!block.equals(zeroBlock))
      throw damaged(`something follows the end mark at byte ${queue.offsetByte() - tarBlockBytes} of its contents`);
    blocks += 1;
  }
  if (blocks < 2) throw damaged('the archive is cut off: its end mark is half there');
}

function paddedBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / tarBlockBytes) * tarBlockBytes;
}

/** A path for a message: UTF-8 where it is, control characters escaped. */
export function quotedPath(path: string): string {
  return JSON.stringify(Buffer.from(path, 'latin1').toString('utf8'));
}

function damaged(why: string): MigrateError {
  return new MigrateError('invalid-input', why);
}
