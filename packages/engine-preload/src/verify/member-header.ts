// What a tar header says of a member, as far as the file on disk can be held against it (POSIX.1-2017, pax, "ustar").
import type { RootFileStatus } from '../root/root-files.ts';

export interface MemberHeader {
  readonly type: string;
  readonly mode: number;
  /** Undefined where the number is elsewhere (pax records) or cannot be read. */
  readonly uid?: number;
  readonly gid?: number;
  readonly device: { readonly major: number; readonly minor: number };
  /** What a link leads to; empty for all else. */
  readonly linkName: string;
}

export const headerBytes = 512;

/** Parses the bytes before a member's contents: its last block is the header, before which pax records may stand. */
export function parseMemberHeader(bytes: Buffer): MemberHeader {
  const block = bytes.subarray(-headerBytes);
  const records = bytes.subarray(0, -headerBytes).toString('utf8');
  const uid = numberAt(block, 108, 8);
  const gid = numberAt(block, 116, 8);
  return {
    type: String.fromCharCode(block[156] ?? 0),
    mode: (numberAt(block, 100, 8) ?? 0) & 0o7777,
    ...(uid === undefined ? {} : { uid }),
    ...(gid === undefined ? {} : { gid }),
    linkName: /\d+ linkpath=([^\0\n]*)\n/.exec(records)?.[1] ?? block.toString('utf8', 157, 257).replace(/\0.*$/s, ''),
    device: { major: numberAt(block, 329, 8) ?? 0, minor: numberAt(block, 337, 8) ?? 0 },
  };
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
