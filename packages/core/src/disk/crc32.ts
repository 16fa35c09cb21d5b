import * as zlib from 'node:zlib';

/** Remainders of all bytes for a CRC of up to 32 bits whose bits run from low to high; `polynomial` in that order too. */
export function crcTable(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ ((value & 1) === 1 ? polynomial : 0);
    return value;
  });
}

const table = crcTable(0xedb88320);

/** Node's own is many times as fast, but is there only from 20.15 on. */
const nodeCrc32: typeof zlib.crc32 | undefined = zlib.crc32;

/** CRC-32 as in ISO 3309, GPT, gzip and zip. `before` is that of the bytes before these, where they come in pieces. */
export function crc32(bytes: Uint8Array, before = 0): number {
  // Of no bytes Node's may give 0 whatever was before: zlib takes a null pointer for the question how to start.
  if (bytes.length === 0) return before;
  return nodeCrc32 === undefined ? crc32ByTable(bytes, before) : nodeCrc32(bytes, before);
}

/** As crc32, on any Node. */
export function crc32ByTable(bytes: Uint8Array, before = 0): number {
  let value = ~before;
  for (const byte of bytes) value = (value >>> 8) ^ (table[(value ^ byte) & 0xff] ?? 0);
  return ~value >>> 0;
}
