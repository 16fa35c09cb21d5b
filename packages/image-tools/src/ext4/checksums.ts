// Checksums as Linux uses them in ext4: without the final inversion of the usual definitions.
import { crcTable } from '@migrate/core';

const crc32cTable = crcTable(0x82f63b78);
const crc16Table = crcTable(0xa001);
const zeros = new Uint8Array(4);
const number = Buffer.alloc(8);

/** Castagnoli's CRC-32 of bytes from `start` to `end`, continued from `seed`; crc32c_le in lib/crc/ of Linux. */
export function crc32c(seed: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
  let value = seed;
  for (let index = start; index < end; index += 1) {
    value = (value >>> 8) ^ (crc32cTable[(value ^ (bytes[index] ?? 0)) & 0xff] ?? 0);
  }
  return value >>> 0;
}

/** As crc32c, of a number of 32 bits. */
export function crc32cOfNumber(seed: number, value: number): number {
  number.writeUInt32LE(value);
  return crc32c(seed, number, 0, 4);
}

/** As crc32c, with a field of up to four bytes taken as zero: most checksums lie within what they protect. */
export function crc32cWithout(
  seed: number,
  bytes: Uint8Array,
  field: { readonly offset: number; readonly length: number },
  end = bytes.length,
): number {
  const before = crc32c(seed, bytes, 0, field.offset);
  return crc32c(crc32c(before, zeros, 0, field.length), bytes, field.offset + field.length, end);
}

/** CRC-16 (polynomial 0x8005, low bits first); lib/crc/crc16.c of Linux. */
export function crc16(seed: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
  let value = seed;
  for (let index = start; index < end; index += 1) {
    value = (value >>> 8) ^ (crc16Table[(value ^ (bytes[index] ?? 0)) & 0xff] ?? 0);
  }
  return value;
}

/** As crc16, of a number of 32 bits. */
export function crc16OfNumber(seed: number, value: number): number {
  number.writeUInt32LE(value);
  return crc16(seed, number, 0, 4);
}
