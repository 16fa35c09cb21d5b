// What a tar header says of a member, as far as the file on disk can be held against it (POSIX.1-2017, pax, "ustar").
import type { RootFileStatus } from '../root/root-files.ts';

export interface MemberHeader {
  readonly type: string;
  readonly mode: number;
  /** Undefined where the number is elsewhere (pax records) or cannot be read. */
  readonly uid?: number;
  readonly gid?: number;
  readonly device: { readonly major: number; readonly minor: number };
  /** One character for each byte (latin1): names need not be UTF-8. */
  readonly name: string;
  /** What a link leads to; empty for all else. */
  readonly linkName: string;
  readonly sizeBytes: number;
  /** Extended attributes by name, their values with one character for each byte. */
  readonly attributes: ReadonlyMap<string, string>;
}

export const headerBytes = 512;

const attributePrefix = 'SCHILY.xattr.';

/**
 * Parses the bytes before a member's contents: its last block is the header, before which pax records may stand, and before these
 * the padding of another member.
 */
export function parseMemberHeader(bytes: Buffer): MemberHeader {
  const block = bytes.subarray(-headerBytes);
  const pax = paxRecords(bytes.subarray(bytes.length % headerBytes, -headerBytes));
  const uid = numberAt(block, 108, 8);
  const gid = numberAt(block, 116, 8);
  const text = (offset: number, length: number): string =>
    block.toString('latin1', offset, offset + length).replace(/\0.*$/s, '');
  const prefix = text(345, 155);
  const linkName = pax.get('linkpath') ?? text(157, 100);
  return {
    type: String.fromCharCode(block[156] ?? 0),
    mode: (numberAt(block, 100, 8) ?? 0) & 0o7777,
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    name: pax.get('path') ?? (isPosix(block) && prefix !== '' ? `${prefix}/${text(0, 100)}` : text(0, 100)),
    linkName: Buffer.from(linkName, 'latin1').toString('utf8'),
    sizeBytes: Number(pax.get('size') ?? numberAt(block, 124, 12) ?? 0),
    attributes: new Map(
      [...pax].flatMap(([key, value]) =>
        key.startsWith(attributePrefix) ? [[key.slice(attributePrefix.length), value]] : [],
      ),
    ),
    device: { major: numberAt(block, 329, 8) ?? 0, minor: numberAt(block, 337, 8) ?? 0 },
  };
}

/** GNU's own form has other things where POSIX has the beginning of long names. */
function isPosix(block: Buffer): boolean {
  return block.toString('latin1', 257, 263) === 'ustar\0';
}

/** Records of the extended headers in `bytes`, which are whole blocks: "LENGTH KEY=VALUE\n", the length of all of it. */
function paxRecords(bytes: Buffer): ReadonlyMap<string, string> {
  const records = new Map<string, string>();
  for (let offset = 0; offset + headerBytes <= bytes.length; ) {
    const size = numberAt(bytes.subarray(offset), 124, 12) ?? 0;
    const start = offset + headerBytes;
    if (bytes[offset + 156] === 'x'.charCodeAt(0)) {
      let text = bytes.toString('latin1', start, start + size);
      for (let match = /^(\d{1,9}) /.exec(text); match !== null; match = /^(\d{1,9}) /.exec(text)) {
        const length = Math.max(Number(match[1]), match[0].length);
        const record = text.slice(match[0].length, length - 1);
        const equals = record.indexOf('=');
        if (equals > 0) records.set(record.slice(0, equals), record.slice(equals + 1));
        text = text.slice(length);
      }
    }
    offset = start + Math.ceil(size / headerBytes) * headerBytes;
  }
  return records;
}

function numberAt(block: Buffer, offset: number, length: number): number | undefined {
  const field = block.subarray(offset, offset + length);
  // GNU's base-256 numbers; owners that large are also written so.
  if (((field[0] ?? 0) & 0x80) !== 0) return field.readUIntBE(length - 6, 6);
  const text = field
    .toString('latin1')
    .replace(/[\0 ]+$/, '')
    .trim();
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : undefined;
}

const kinds: Readonly<Record<string, RootFileStatus['kind']>> = {
  '0': 'file',
  '\0': 'file',
  '1': 'file',
  '2': 'symlink',
  '3': 'character-device',
  '4': 'block-device',
  '5': 'directory',
};

/** How a file differs from its header; undefined where it does not. */
export function differenceFrom(header: MemberHeader, status: RootFileStatus, sizeBytes: number): string | undefined {
  const kind = kinds[header.type];
  // A hard link may be to anything but a directory, and its header repeats what the first name said.
  if (header.type === '1') return status.kind === 'directory' ? 'is a directory, not a hard link' : undefined;
  if (kind === undefined) return undefined;
  if (status.kind !== kind) return `is a ${status.kind}, not a ${kind}`;
  if (kind !== 'symlink' && status.mode !== header.mode)
    return `has mode ${status.mode.toString(8)}, not ${header.mode.toString(8)}`;
  if (header.uid !== undefined && status.uid !== header.uid) return `belongs to user ${status.uid}, not ${header.uid}`;
  if (header.gid !== undefined && status.gid !== header.gid) return `belongs to group ${status.gid}, not ${header.gid}`;
  if (kind === 'file' && status.sizeBytes !== sizeBytes) return `has ${status.sizeBytes} bytes, not ${sizeBytes}`;
  const { device } = header;
  const isDevice = kind === 'character-device' || kind === 'block-device';
  if (isDevice && (status.represents?.major !== device.major || status.represents.minor !== device.minor))
    return `is device ${status.represents?.major}:${status.represents?.minor}, not ${device.major}:${device.minor}`;
  return undefined;
}

/** What a header says of a file, as the status of a file is told. */
export function statusOf({ type, mode, uid = 0, gid = 0, sizeBytes, device }: MemberHeader): RootFileStatus {
  const kind = kinds[type] ?? 'other';
  return { kind, mode, uid, gid, sizeBytes, ...(kind.endsWith('-device') ? { represents: device } : {}) };
}
