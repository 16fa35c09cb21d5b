/** Remainders of all bytes for a CRC of up to 32 bits whose bits run from low to high; `polynomial` in that order too. */
export function crcTable(polynomial: number): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ ((value & 1) === 1 ? polynomial : 0);
    return value;
  });
}

const table = crcTable(0xedb88320);

/** CRC-32 as in ISO 3309, GPT and gzip. node:zlib has one too, but only from Node 20.15 on. */
export function crc32(bytes: Uint8Array): number {
  let value = 0xffffffff;
  for (const byte of bytes) value = (value >>> 8) ^ (table[(value ^ byte) & 0xff] ?? 0);
  return (value ^ 0xffffffff) >>> 0;
}
