// Directory entries: "Microsoft FAT Specification" (2005), sections 6 and 7.

export interface FatEntry {
  readonly name: string;
  readonly isDirectory: boolean;
  readonly sizeBytes: number;
  readonly firstCluster: number;
}

export interface FatDirectory {
  readonly entries: readonly FatEntry[];
  /** Volume label, which stands in the root directory. */
  readonly label?: string;
}

const entryBytes = 32;
const attributeVolume = 0x08;
const attributeDirectory = 0x10;
const attributeLongName = 0x0f;
/** Case bits that Windows NT and Linux keep for names which need no long entry. */
const lowerCaseBase = 0x08;
const lowerCaseExtension = 0x10;

/** Parses a directory; "." and ".." are left out. Damaged long names fall back to the short one, as in Linux. */
export function parseFatDirectory(bytes: Buffer): FatDirectory {
  const entries: FatEntry[] = [];
  let label: string | undefined;
  let longName = newLongName();
  for (let offset = 0; offset + entryBytes <= bytes.length; offset += entryBytes) {
    const entry = bytes.subarray(offset, offset + entryBytes);
    const marker = entry.readUInt8(0);
    const attributes = entry.readUInt8(11);
    if (marker === 0) break;
    if (marker === 0xe5) longName = newLongName();
    else if ((attributes & 0x3f) === attributeLongName) longName = addLongPart(longName, entry);
    else {
      const name = finishLongName(longName, entry) ?? shortName(entry);
      longName = newLongName();
      if ((attributes & attributeVolume) !== 0) label ??= shortLabel(entry);
      else if (name !== '.' && name !== '..') entries.push(toEntry(name, entry));
    }
  }
  return { entries, ...(label === undefined ? {} : { label }) };
}

function toEntry(name: string, entry: Buffer): FatEntry {
  const isDirectory = (entry.readUInt8(11) & attributeDirectory) !== 0;
  const firstCluster = entry.readUInt16LE(26) + entry.readUInt16LE(20) * 0x10000;
  return { name, isDirectory, sizeBytes: isDirectory ? 0 : entry.readUInt32LE(28), firstCluster };
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
  const number = marker & 0x1f;
  const checksum = entry.readUInt8(13);
  const isFirstStored = (marker & 0x40) !== 0;
  if (number === 0 || (!isFirstStored && (before.awaited !== number || before.checksum !== checksum)))
    return newLongName();
  const units = Buffer.concat([entry.subarray(1, 11), entry.subarray(14, 26), entry.subarray(28, 32)]);
  return { text: units.toString('utf16le') + (isFirstStored ? '' : before.text), awaited: number - 1, checksum };
}

function finishLongName({ text, awaited, checksum }: LongName, entry: Buffer): string | undefined {
  if (awaited !== 0 || checksum !== shortChecksum(entry)) return undefined;
  const name = text.replace(/\0.*$/s, '');
  return name === '' ? undefined : name;
}

function shortChecksum(entry: Buffer): number {
  return entry.subarray(0, 11).reduce((sum, byte) => (((sum & 1) << 7) + (sum >> 1) + byte) & 0xff, 0);
}

function shortName(entry: Buffer): string {
  const caseBits = entry.readUInt8(12);
  const base = shortText(entry, 0, 8);
  const extension = shortText(entry, 8, 11);
  const shownBase = (caseBits & lowerCaseBase) === 0 ? base : base.toLowerCase();
  const shownExtension = (caseBits & lowerCaseExtension) === 0 ? extension : extension.toLowerCase();
  return shownExtension === '' ? shownBase : `${shownBase}.${shownExtension}`;
}

function shortLabel(entry: Buffer): string {
  return shortText(entry, 0, 11);
}

/** Short names are in a DOS code page; ASCII is all that boot files use. 0x05 stands for 0xE5, which marks the deleted. */
function shortText(entry: Buffer, from: number, to: number): string {
  const text = entry.toString('latin1', from, to).trimEnd();
  return from === 0 && text.startsWith('\x05') ? `\xe5${text.slice(1)}` : text;
}
