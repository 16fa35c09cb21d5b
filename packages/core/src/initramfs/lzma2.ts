// LZMA2, the compression inside .xz files: chunks of LZMA or plain bytes, each preceded by a control byte. Written after the
// description in the xz project's documentation; memory is bounded by the buffer that the caller provides.
import {
  createLzmaDecoder,
  damaged,
  decodeSymbols,
  type LzmaDecoder,
  nextByte,
  resetLzmaState,
  startRangeCoder,
} from './lzma.ts';

/** `input` is read from `inputStart` on; `output` is filled from its start. */
export interface Lzma2Task {
  readonly input: Uint8Array;
  readonly inputStart: number;
  readonly output: Uint8Array;
}

/**
 * Decodes one LZMA2 stream. Returns where it ended in input and output.
 * Throws `invalid-input` for damaged data and for more output than there is room for.
 */
export function decodeLzma2(task: Lzma2Task): { readonly inputEnd: number; readonly outputEnd: number } {
  const decoder = createLzmaDecoder(task.input, task.output);
  decoder.position = task.inputStart;
  let needs: 'dictionary' | 'properties' | 'nothing' = 'dictionary';
  for (;;) {
    const control = nextByte(decoder);
    if (control === 0) return { inputEnd: decoder.position, outputEnd: decoder.done };
    if (control > 2 && control < 0x80) throw damaged('an unknown chunk');
    const resetsDictionary = control === 1 || control >= 0xe0;
    if (needs === 'dictionary' && !resetsDictionary) throw damaged('no dictionary reset at the start');
    if (resetsDictionary) decoder.dictionaryStart = decoder.done;
    if (control < 0x80) {
      copyPlain(decoder);
      if (needs === 'dictionary') needs = 'properties';
    } else {
      if (needs !== 'nothing' && control < 0xc0) throw damaged('no properties before the first chunk');
      decodeChunk(decoder, control);
      needs = 'nothing';
    }
  }
}

function copyPlain(decoder: LzmaDecoder): void {
  const size = (nextByte(decoder) << 8) + nextByte(decoder) + 1;
  const end = decoder.position + size;
  if (end > decoder.input.length || decoder.done + size > decoder.output.length)
    throw damaged('a chunk that is too long');
  decoder.output.set(decoder.input.subarray(decoder.position, end), decoder.done);
  decoder.position = end;
  decoder.done += size;
}

function decodeChunk(decoder: LzmaDecoder, control: number): void {
  const plainBytes = ((control & 0x1f) << 16) + (nextByte(decoder) << 8) + nextByte(decoder) + 1;
  const packedBytes = (nextByte(decoder) << 8) + nextByte(decoder) + 1;
  if (control >= 0xc0) setProperties(decoder, nextByte(decoder));
  if (control >= 0xa0) resetLzmaState(decoder);
  const packedEnd = decoder.position + packedBytes;
  const plainEnd = decoder.done + plainBytes;
  if (plainEnd > decoder.output.length) throw damaged('more data than its index announces');
  startRangeCoder(decoder);
  decodeSymbols(decoder, plainEnd);
  if (decoder.position !== packedEnd || decoder.coder[1] !== 0) throw damaged('a chunk of the wrong length');
}

function setProperties(decoder: LzmaDecoder, properties: number): void {
  if (properties >= 225) throw damaged('unknown properties');
  const literalContextBits = properties % 9;
  const rest = Math.floor(properties / 9);
  const literalPositionBits = rest % 5;
  if (literalContextBits + literalPositionBits > 4) throw damaged('properties that LZMA2 does not allow');
  decoder.literalContextBits = literalContextBits;
  decoder.literalPositionMask = (1 << literalPositionBits) - 1;
  decoder.positionMask = (1 << Math.floor(rest / 5)) - 1;
}
