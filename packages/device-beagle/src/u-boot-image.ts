// Where the image of U-Boot ends, by what it says of itself.

/** Legacy header: include/image.h, struct legacy_img_hdr, big-endian. */
export const legacyMagic = 0x27051956;
export const legacyHeaderBytes = 64;
/** Flattened device tree, which a FIT image is: Devicetree Specification 0.4, chapter 5. */
const fdtMagic = 0xd00dfeed;
const token = { beginNode: 1, endNode: 2, property: 3, nop: 4, end: 9 } as const;

/** Bytes that are enough to read either header, properties of a FIT image included. */
export const headerAreaBytes = 8192;

export interface UbootImage {
  /** From the start of its header. */
  readonly sizeBytes: number;
  /** "U-Boot 2016.01-00001-g4eb802e for am335x_evm", where the header has it. */
  readonly name?: string;
}

/** Undefined where the bytes are no header of a U-Boot image, or one that cannot be read to its end. */
export function readUbootImage(bytes: Uint8Array): UbootImage | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < legacyHeaderBytes) return undefined;
  if (view.getUint32(0) === legacyMagic) {
    const name = Buffer.from(bytes.subarray(32, legacyHeaderBytes)).toString('latin1').replace(/\0.*$/s, '');
    return { sizeBytes: legacyHeaderBytes + view.getUint32(12), name };
  }
  if (view.getUint32(0) !== fdtMagic) return undefined;
  const sizeBytes = fitSize(view);
  return sizeBytes === undefined ? undefined : { sizeBytes };
}

/** A FIT may have its data behind itself: doc/usage/fit/source_file_format.rst, data-offset, data-position and data-size. */
function fitSize(view: DataView): number | undefined {
  const totalBytes = view.getUint32(4);
  const external = aligned(totalBytes);
  const structureEnd = view.getUint32(8) + view.getUint32(36);
  const stringsStart = view.getUint32(12);
  const nodes: { start: number; size: number }[] = [];
  let end = totalBytes;
  for (let at = view.getUint32(8); at + 4 <= Math.min(structureEnd, view.byteLength); ) {
    const kind = view.getUint32(at);
    at += 4;
    if (kind === token.end) return end;
    if (kind === token.beginNode) {
      const name = stringAt(view, at);
      if (name === undefined) return undefined;
      at += aligned(name.length + 1);
      nodes.push({ start: 0, size: 0 });
    } else if (kind === token.endNode) {
      const node = nodes.pop();
      if (node === undefined) return undefined;
      end = Math.max(end, node.start + node.size);
    } else if (kind === token.property) {
      if (at + 8 > view.byteLength) return undefined;
      const length = view.getUint32(at);
      const name = stringAt(view, stringsStart + view.getUint32(at + 4));
      const node = nodes.at(-1);
      if (name === undefined || node === undefined) return undefined;
      if (length === 4 && at + 12 <= view.byteLength) {
        const value = view.getUint32(at + 8);
        if (name === 'data-offset') node.start = external + value;
        if (name === 'data-position') node.start = value;
        if (name === 'data-size') node.size = value;
      }
      at += 8 + aligned(length);
    } else if (kind !== token.nop) {
      return undefined;
    }
  }
  return undefined;
}

/** To four bytes; bit operations would make large numbers negative. */
function aligned(bytes: number): number {
  return Math.ceil(bytes / 4) * 4;
}

function stringAt(view: DataView, start: number): string | undefined {
  let text = '';
  for (let at = start; at < view.byteLength; at += 1) {
    const code = view.getUint8(at);
    if (code === 0) return text;
    text += String.fromCharCode(code);
  }
  return undefined;
}
