// A boot.scr, as `source` of U-Boot takes it: a legacy image (include/image.h, struct legacy_img_hdr, big-endian) of type script.
import { crc32 } from '@migrate/core';
import { legacyHeaderBytes, legacyMagic } from './u-boot-image.ts';

/** IH_OS_LINUX, IH_ARCH_ARM, IH_TYPE_SCRIPT, IH_COMP_NONE. */
const kind = [5, 2, 6, 0] as const;
const offset = { headerSum: 4, size: 12, dataSum: 24, kind: 28, name: 32 } as const;

/** The image of a script; its time is zero, so that the same script gives the same bytes. */
export function scriptImage(text: string, name: string): Uint8Array {
  const script = Buffer.from(text, 'latin1');
  // A table of lengths, which a zero ends, comes first.
  const data = Buffer.concat([Buffer.alloc(8), script]);
  data.writeUInt32BE(script.length);
  const header = Buffer.alloc(legacyHeaderBytes);
  header.writeUInt32BE(legacyMagic);
  header.writeUInt32BE(data.length, offset.size);
  header.writeUInt32BE(crc32(data), offset.dataSum);
  header.set(kind, offset.kind);
  header.write(name, offset.name, 'latin1');
  header.writeUInt32BE(crc32(header), offset.headerSum);
  return Buffer.concat([header, data]);
}
