// Headers of tar entries: POSIX.1-2017, pax, "ustar Interchange Format".
import type { DeviceNumber } from '@migrate/core';

export const tarBlockBytes = 512;

/**
 * Type flags of ustar; "x", the records for the entry that follows (pax); "L" and "K", the name and the link target of the entry
 * that follows (GNU tar).
 */
export type TarType = '0' | '1' | '2' | '3' | '4' | '5' | '6' | 'x' | 'L' | 'K';

export interface TarHeader {
  readonly type: TarType;
  /** Cut after 100 bytes; a longer name needs a pax record. */
  readonly path: Uint8Array;
  /** Target of a link, cut after 100 bytes too. */
  readonly linkPath?: Uint8Array;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Bytes that follow the header, without their padding. */
  readonly sizeBytes?: number;
  /** Whole seconds since 1970. */
  readonly modifiedS?: number;
  readonly device?: DeviceNumber;
}

/** Bytes of the fields for names. */
export const tarNameBytes = 100;

/** Whether a number fits into a field of `fieldBytes`: octal digits and a NUL. */
export function fitsTarField(value: number, fieldBytes: 8 | 12): boolean {
  return value >= 0 && value < 8 ** (fieldBytes - 1);
}

/** One block of 512 bytes. Numbers that fit no field are in base 256, as GNU tar writes them. */
export function tarHeader(header: TarHeader): Buffer {
  const block = Buffer.alloc(tarBlockBytes);
  const number = (offset: number, fieldBytes: 8 | 12, value = 0): void => {
    if (fitsTarField(value, fieldBytes)) {
      block.write(value.toString(8).padStart(fieldBytes - 1, '0'), offset, 'latin1');
      return;
    }
    block.fill(value < 0 ? 0xff : 0, offset, offset + fieldBytes);
    block.writeInt32BE(Math.floor(value / 2 ** 32), offset + fieldBytes - 8);
    block.writeUInt32BE(((value % 2 ** 32) + 2 ** 32) % 2 ** 32, offset + fieldBytes - 4);
    block.writeUInt8((block[offset] ?? 0) | 0x80, offset);
  };
  block.set(header.path.subarray(0, tarNameBytes), 0);
  number(100, 8, header.mode);
  number(108, 8, header.uid);
  number(116, 8, header.gid);
  number(124, 12, header.sizeBytes);
  number(136, 12, header.modifiedS);
  block.fill(' ', 148, 156);
  block.write(header.type, 156, 'latin1');
  if (header.linkPath !== undefined) block.set(header.linkPath.subarray(0, tarNameBytes), 157);
  block.write('ustar\x0000', 257, 'latin1');
  number(329, 8, header.device?.major);
  number(337, 8, header.device?.minor);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

/** Bytes that fill the last block of `sizeBytes`. */
export function tarPadding(sizeBytes: number): number {
  return (tarBlockBytes - (sizeBytes % tarBlockBytes)) % tarBlockBytes;
}
