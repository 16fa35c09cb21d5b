// Directory entries: "Microsoft FAT Specification" (2005), sections 6 and 7.
import type { TreeEntry } from '@migrate/core';
import { fromCodePage437 } from './code-page.ts';
import { damaged, type FatType } from './fat-geometry.ts';
import { fatTimeToNs } from './fat-time.ts';

/**
 * A file or directory. FAT has no owners and modes: all belongs to root with mode 0755, or 0555 for files marked read-only, as
 * when Linux mounts it for root. Times are taken as UTC. There are no links; `inode` is the byte at which the entry lies.
 */
export interface FatEntry extends TreeEntry {
  readonly kind: 'file' | 'directory';
  /** The name as text: the long one, or the short one with the case that is noted for it. */
  readonly text: string;
  /** The other name that it is found by: "CONFIG~1.JSO". */
  readonly shortName: string;
  /** 0 for empty files. */
  readonly firstCluster: number;
  /** Nanoseconds since 1970, in steps of 10 ms; `modifiedNs` has steps of two seconds. */
  readonly createdNs?: bigint;
}

export interface FatDirectory {
  readonly entries: readonly FatEntry[];
  /** Volume label, which stands in the root directory. */
  readonly label?: string;
}

/** Where a directory lies and what is in it. */
export interface FatDirectoryBytes {
  readonly bytes: Buffer;
  /** Empty for the root of FAT12 and FAT16. */
  readonly clusters: readonly number[];
  /** Byte of the file system at which an offset into the directory lies. */
  placeOf(offset: number): number;
}

export const directoryEntryBytes = 32;
/** A directory may hold 65536 entries (specification, section 6). */
export const maximumDirectoryBytes = 65536 * directoryEntryBytes;
export const deletedMark = 0xe5;
export const attributeReadOnly = 0x01;
export const attributeVolume = 0x08;
export const attributeDirectory = 0x10;
export const attributeLongName = 0x0f;
/** Case bits that Windows NT and Linux keep for names which need no long entry. */
const lowerCaseBase = 0x08;
const lowerCaseExtension = 0x10;
/** A long name has at most 255 UTF-16 units, 13 to an entry. */
const maximumLongParts = 20;

/**
 * Parses a directory; "." and ".." are left out. Damaged long names fall back to the short one, as in Linux. Throws
 * `invalid-input` for names that no tree can have.
 */
export function parseFatDirectory({ bytes, placeOf }: FatDirectoryBytes, type: FatType): FatDirectory {
  const entries: FatEntry[] = [];
  let label: string | undefined;
  let longName = newLongName();
  for (let offset = 0; offset + directoryEntryBytes <= bytes.length; offset += directoryEntryBytes) {
    const entry = bytes.subarray(offset, offset + directoryEntryBytes);
    const marker = entry.readUInt8(0);
    const attributes = entry.readUInt8(11);
    if (marker === 0) break;
    if (marker === deletedMark) longName = newLongName();
    else if ((attributes & 0x3f) === attributeLongName) longName = addLongPart(longName, entry);
    else {
      const text = finishLongName(longName, entry) ?? shownShortName(entry);
      longName = newLongName();
      if ((attributes & attributeVolume) !== 0) label ??= volumeLabel(entry);
      else if (!isDotEntry(entry)) entries.push(toEntry(checkedName(text), entry, { type, place: placeOf(offset) }));
    }
  }
  return { entries, ...(label === undefined ? {} : { label }) };
}

/** The entry with a long or short name, ignoring case; the long ones come first. */
export function entryNamed(entries: readonly FatEntry[], name: string): FatEntry | undefined {
  const wanted = name.toLowerCase();
  return (
    entries.find(({ text }) => text.toLowerCase() === wanted) ??
    entries.find(({ shortName }) => shortName.toLowerCase() === wanted)
  );
}

function toEntry(text: string, entry: Buffer, { type, place }: { type: FatType; place: number }): FatEntry {
  const attributes = entry.readUInt8(11);
  const isDirectory = (attributes & attributeDirectory) !== 0;
  const created = { date: entry.readUInt16LE(16), time: entry.readUInt16LE(14), hundredths: entry.readUInt8(13) };
  return {
    name: Buffer.from(text),
    text,
    shortName: joined(fromCodePage437(baseBytes(entry)), extensionText(entry)),
    kind: isDirectory ? 'directory' : 'file',
    mode: !isDirectory && (attributes & attributeReadOnly) !== 0 ? 0o555 : 0o755,
    uid: 0,
    gid: 0,
    modifiedNs: fatTimeToNs({ date: entry.readUInt16LE(24), time: entry.readUInt16LE(22), hundredths: 0 }),
    sizeBytes: isDirectory ? 0 : entry.readUInt32LE(28),
    inode: place,
    links: 1,
    // FAT12 and FAT16 had other uses for what is the upper half in FAT32.
    firstCluster: entry.readUInt16LE(26) + (type === 'FAT32' ? entry.readUInt16LE(20) * 0x10000 : 0),
    ...(created.date === 0 ? {} : { createdNs: fatTimeToNs(created) }),
  };
}

function checkedName(text: string): string {
  if (text === '' || text === '.' || text === '..' || /[/\0]/.test(text)) {
    throw damaged(`${JSON.stringify(text)} cannot be a name`);
  }
  return text;
}

function isDotEntry(entry: Buffer): boolean {
  return /^\.\.? *$/.test(entry.toString('latin1', 0, 11));
}

interface LongName {
  /** UTF-16 text from its end forward, as the parts are stored last one first. */
  readonly text: string;
  /** Number of the part that must come next; 0: the short entry. -1: none begun, or out of order. */
  readonly awaited: number;
  readonly checksum: number;
}

function newLongName(): LongName {
  return { text: '', awaited: -1, checksum: 0 };
}

function addLongPart(before: LongName, entry: Buffer): LongName {
  const marker = entry.readUInt8(0);
  const number = marker & 0x3f;
  const checksum = entry.readUInt8(13);
  const isFirstStored = (marker & 0x40) !== 0;
  const isNext = before.awaited === number && before.checksum === checksum;
  if (number === 0 || number > maximumLongParts || (!isFirstStored && !isNext)) return newLongName();
  const units = Buffer.concat([entry.subarray(1, 11), entry.subarray(14, 26), entry.subarray(28, 32)]);
  return { text: units.toString('utf16le') + (isFirstStored ? '' : before.text), awaited: number - 1, checksum };
}

function finishLongName({ text, awaited, checksum }: LongName, entry: Buffer): string | undefined {
  if (awaited !== 0 || checksum !== shortNameChecksum(entry)) return undefined;
  const name = text.replace(/\0.*$/s, '');
  return name === '' ? undefined : name;
}

/** What binds the parts of a long name to the short entry behind them, whose first 11 bytes are summed. */
export function shortNameChecksum(entry: Uint8Array): number {
  return entry.subarray(0, 11).reduce((sum, byte) => (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff, 0);
}

function shownShortName(entry: Buffer): string {
  const caseBits = entry.readUInt8(12);
  const base = fromCodePage437(baseBytes(entry));
  const extension = extensionText(entry);
  return joined(
    (caseBits & lowerCaseBase) === 0 ? base : base.toLowerCase(),
    (caseBits & lowerCaseExtension) === 0 ? extension : extension.toLowerCase(),
  );
}

function joined(base: string, extension: string): string {
  return extension === '' ? base : `${base}.${extension}`;
}

/** 0x05 stands for 0xE5, which would mark the entry as deleted. */
function baseBytes(entry: Buffer): Buffer {
  const bytes = Buffer.from(withoutSpaces(entry.subarray(0, 8)));
  if (bytes[0] === 0x05) bytes[0] = deletedMark;
  return bytes;
}

function extensionText(entry: Buffer): string {
  return fromCodePage437(withoutSpaces(entry.subarray(8, 11)));
}

function volumeLabel(entry: Buffer): string {
  return fromCodePage437(withoutSpaces(entry.subarray(0, 11)));
}

function withoutSpaces(bytes: Buffer): Buffer {
  let length = bytes.length;
  while (length > 0 && bytes[length - 1] === 0x20) length -= 1;
  return bytes.subarray(0, length);
}
