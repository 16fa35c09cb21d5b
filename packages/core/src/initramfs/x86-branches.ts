// The x86 branch filter of xz: before compression, the targets of CALL and JMP (E8, E9) were made absolute, so that calls of
// one function look alike. This makes them relative again.

/** By the last three opcode-like bytes: whether a conversion is possible, and which byte of the operand they hide. */
const isAllowed = [true, true, true, false, true, false, false, false] as const;
const hiddenByte = [0, 1, 2, 2, 3, 3, 3, 3] as const;
const operandBytes = 4;

/** Converts `bytes` in place; `start` is their position in the whole of the program. */
export function undoX86Branches(bytes: Uint8Array, start: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let before = 0;
  let last = -1;
  for (let i = 0; i + operandBytes < bytes.length; i += 1) {
    if (((bytes[i] ?? 0) & 0xfe) !== 0xe8) continue;
    const distance = i - last;
    last = i;
    if (distance > 3) {
      before = 0;
    } else {
      before = (before << (distance - 1)) & 7;
      if (before !== 0) {
        const hidden = bytes[i + operandBytes - (hiddenByte[before] ?? 0)] ?? 0;
        if (isAllowed[before] !== true || isSignByte(hidden)) {
          before = (before << 1) | 1;
          continue;
        }
      }
    }
    if (!isSignByte(bytes[i + operandBytes] ?? 0)) {
      before = (before << 1) | 1;
      continue;
    }
    const target = relativeTarget(view.getUint32(i + 1, true), (start + i + operandBytes + 1) >>> 0, before);
    // The top byte says nothing but the sign.
    view.setUint32(i + 1, (target & 0x01000000) === 0 ? target & 0x01ffffff : target | 0xfe000000, true);
    i += operandBytes;
  }
}

function relativeTarget(absolute: number, next: number, before: number): number {
  let source = absolute;
  for (;;) {
    const target = (source - next) >>> 0;
    if (before === 0) return target;
    const shift = (hiddenByte[before] ?? 0) * 8;
    if (!isSignByte((target >>> (24 - shift)) & 0xff)) return target;
    source = (target ^ (2 ** (32 - shift) - 1)) >>> 0;
  }
}

function isSignByte(byte: number): boolean {
  return byte === 0x00 || byte === 0xff;
}
