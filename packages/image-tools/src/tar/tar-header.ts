// One header block of a tar archive: POSIX.1-2017 pax, "ustar Interchange Format", and GNU's own (tar.h of GNU tar).
import { MigrateError } from '@migrate/core';

export const tarBlockBytes = 512;

export interface TarHeader {
  /** One character for each byte of the name: names need not be UTF-8. */
  readonly name: string;
  readonly linkName: string;
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of contents behind the header, without padding. */
  readonly sizeBytes: number;
  readonly modifiedSeconds: number;
  readonly major: number;
  readonly minor: number;
  readonly block: Buffer;
}

const fields = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  modified: [136, 12],
  checksum: [148, 8],
  linkName: [157, 100],
  magic: [257, 6],
  major: [329, 8],
  minor: [337, 8],
  prefix: [345, 155],
} as const;
const typeOffset = 156;

/** Undefined for a block of zeros. Throws `invalid-input` for a wrong checksum or a number that is none. */
export function parseTarHeader(block: Buffer): TarHeader | undefined {
  if (block.every((byte) => byte === 0)) return undefined;
  if (checksumOf(block) !== numberAt(block, 'checksum')) throw damaged('a header has a wrong checksum');
  const type = String.fromCharCode(block[typeOffset] ?? 0);
  const name = textAt(block, 'name');
  // GNU tar's own format has "ustar  " and other fields where ustar has its prefix.
  const isUstar = textAt(block, 'magic') === 'ustar';
  const prefix = isUstar ? textAt(block, 'prefix') : '';
  const hasDevice = type === '3' || type === '4';
  return {
    name: prefix === '' ? name : `${prefix}/${name}`,
    linkName: textAt(block, 'linkName'),
    type: type === '\0' || type === '7' ? '0' : type,
    mode: numberAt(block, 'mode') & 0o7777,
    uid: numberAt(block, 'uid'),
    gid: numberAt(block, 'gid'),
    sizeBytes: sizeAt(block),
    modifiedSeconds: numberAt(block, 'modified'),
    major: hasDevice ? numberAt(block, 'major') : 0,
    minor: hasDevice ? numberAt(block, 'minor') : 0,
    block,
  };
}

function sizeAt(block: Buffer): number {
  const size = numberAt(block, 'size');
  if (size < 0) throw damaged('a member has a negative size');
  return size;
}

function textAt(block: Buffer, field: keyof typeof fields): string {
  const [start, length] = fields[field];
  return block.toString('latin1', start, start + length).replace(/\0.*$/s, '');
}

function numberAt(block: Buffer, field: keyof typeof fields): number {
  const [start, length] = fields[field];
  return parseTarNumber(block.subarray(start, start + length));
}

/** Octal digits, or GNU's base 256 where the first bit is set (two's complement). */
export function parseTarNumber(bytes: Uint8Array): number {
  const first = bytes[0] ?? 0;
  if ((first & 0x80) !== 0) {
    let value = BigInt(first & 0x3f) - BigInt(first & 0x40);
    for (const byte of bytes.subarray(1)) value = value * 256n + BigInt(byte);
    return safe(Number(value));
  }
  const text = Buffer.from(bytes).toString('latin1').replace(/\0.*$/s, '').trim();
  if (!/^[0-7]*$/.test(text)) throw damaged(`a header has the number ${JSON.stringify(text)}`);
  return text === '' ? 0 : safe(Number.parseInt(text, 8));
}

function safe(value: number): number {
  if (!Number.isSafeInteger(value)) throw damaged('a header has a number that nothing can have');
  return value;
}

/** The sum of all bytes, the field itself counting as blanks. */
function checksumOf(block: Buffer): number {
  const [start, length] = fields.checksum;
  let sum = 0x20 * length;
  for (const [index, byte] of block.entries()) if (index < start || index >= start + length) sum += byte;
  return sum;
}

function damaged(why: string): MigrateError {
  return new MigrateError('invalid-input', why);
}
