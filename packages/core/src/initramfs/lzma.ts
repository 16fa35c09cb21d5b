// The symbols of LZMA: literals and matches, as bits of a range coder with adaptive models. Written after the LZMA
// specification. The output buffer serves as the dictionary.
import { MigrateError } from '../error.ts';

/** What is remembered between the chunks of LZMA2. */
export interface LzmaDecoder {
  readonly input: Uint8Array;
  position: number;
  readonly output: Uint8Array;
  done: number;
  /** First byte that a match may refer to. */
  dictionaryStart: number;
  /** [range, code] of the range decoder; a typed array so that neither becomes a heap number. */
  readonly coder: Uint32Array;
  readonly probabilities: Uint16Array;
  literalContextBits: number;
  literalPositionMask: number;
  positionMask: number;
  state: number;
  /** Distances of the last four matches, less one. */
  readonly recent: Uint32Array;
}

// Places of the probability models in one array; sizes from the LZMA specification.
const isMatchAt = 0;
const isRepeatAt = 192;
const isRepeat0At = 204;
const isRepeat1At = 216;
const isRepeat2At = 228;
const isRepeat0LongAt = 240;
const slotAt = 432;
const specialDistanceAt = 688;
const alignAt = 803;
const matchLengthAt = 819;
const repeatLengthAt = 1333;
const literalAt = 1847;
/** LZMA2 allows no more than four bits of literal context and position together. */
const modelCount = literalAt + (0x300 << 4);
const shortestMatch = 2;

/** A decoder before its first chunk. */
export function createLzmaDecoder(input: Uint8Array, output: Uint8Array): LzmaDecoder {
  return {
    input,
    position: 0,
    output,
    done: 0,
    dictionaryStart: 0,
    coder: new Uint32Array(2),
    probabilities: new Uint16Array(modelCount),
    literalContextBits: 0,
    literalPositionMask: 0,
    positionMask: 0,
    state: 0,
    recent: new Uint32Array(4),
  };
}

/** Forgets all that was learned of the data. */
export function resetLzmaState(decoder: LzmaDecoder): void {
  decoder.probabilities.fill(1024);
  decoder.state = 0;
  decoder.recent.fill(0);
}

/** Reads the first bytes of a range-coded chunk. */
export function startRangeCoder(decoder: LzmaDecoder): void {
  if (nextByte(decoder) !== 0) throw damaged('a range coder that does not start with 0');
  let code = 0;
  for (let i = 0; i < 4; i += 1) code = code * 256 + nextByte(decoder);
  decoder.coder[0] = 0xffffffff;
  decoder.coder[1] = code;
}

/** Decodes until the output reaches `end`. */
export function decodeSymbols(decoder: LzmaDecoder, end: number): void {
  const { recent } = decoder;
  while (decoder.done < end) {
    const positionState = (decoder.done - decoder.dictionaryStart) & decoder.positionMask;
    const { state } = decoder;
    if (bit(decoder, isMatchAt + (state << 4) + positionState) === 0) {
      decodeLiteral(decoder);
      continue;
    }
    let length: number;
    if (bit(decoder, isRepeatAt + state) === 0) {
      recent.copyWithin(1, 0, 3);
      length = decodeLength(decoder, matchLengthAt, positionState);
      decoder.state = state < 7 ? 7 : 10;
      recent[0] = decodeDistance(decoder, length);
    } else if (decodeRepeat(decoder, positionState)) {
      decoder.state = state < 7 ? 9 : 11;
      length = 1;
    } else {
      length = decodeLength(decoder, repeatLengthAt, positionState);
      decoder.state = state < 7 ? 8 : 11;
    }
    copyMatch(decoder, length, end);
  }
}

/** Moves the repeated distance to the front; true where it stands for a single byte. */
function decodeRepeat(decoder: LzmaDecoder, positionState: number): boolean {
  const { recent, state } = decoder;
  if (bit(decoder, isRepeat0At + state) === 0) {
    return bit(decoder, isRepeat0LongAt + (state << 4) + positionState) === 0;
  }
  let which = 1;
  if (bit(decoder, isRepeat1At + state) === 1) which = 2 + bit(decoder, isRepeat2At + state);
  const distance = recent[which] ?? 0;
  recent.copyWithin(1, 0, which);
  recent[0] = distance;
  return false;
}

function decodeLiteral(decoder: LzmaDecoder): void {
  const { output, done, dictionaryStart, state } = decoder;
  const before = done > dictionaryStart ? (output[done - 1] ?? 0) : 0;
  const lowPosition = (done - dictionaryStart) & decoder.literalPositionMask;
  const context = (lowPosition << decoder.literalContextBits) + (before >> (8 - decoder.literalContextBits));
  const base = literalAt + 0x300 * context;
  let symbol = 1;
  if (state >= 7) {
    let matched = output[matchStart(decoder)] ?? 0;
    while (symbol < 0x100) {
      const matchBit = (matched >> 7) & 1;
      matched <<= 1;
      const decoded = bit(decoder, base + ((1 + matchBit) << 8) + symbol);
      symbol = (symbol << 1) | decoded;
      if (matchBit !== decoded) break;
    }
  }
  while (symbol < 0x100) symbol = (symbol << 1) | bit(decoder, base + symbol);
  output[done] = symbol & 0xff;
  decoder.done = done + 1;
  decoder.state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6;
}

function decodeLength(decoder: LzmaDecoder, base: number, positionState: number): number {
  if (bit(decoder, base) === 0) return shortestMatch + bits(decoder, base + 2 + (positionState << 3), 3);
  if (bit(decoder, base + 1) === 0) return shortestMatch + 8 + bits(decoder, base + 130 + (positionState << 3), 3);
  return shortestMatch + 16 + bits(decoder, base + 258, 8);
}

function decodeDistance(decoder: LzmaDecoder, length: number): number {
  const slot = bits(decoder, slotAt + (Math.min(length - shortestMatch, 3) << 6), 6);
  if (slot < 4) return slot;
  const directBits = (slot >> 1) - 1;
  const start = (2 | (slot & 1)) * 2 ** directBits;
  if (slot < 14) return start + reverseBits(decoder, specialDistanceAt + start - slot, directBits);
  const high = plainBits(decoder, directBits - 4);
  return start + high * 16 + reverseBits(decoder, alignAt, 4);
}

function matchStart(decoder: LzmaDecoder): number {
  const start = decoder.done - (decoder.recent[0] ?? 0) - 1;
  if (start < decoder.dictionaryStart) throw damaged('a reference to before its start');
  return start;
}

function copyMatch(decoder: LzmaDecoder, length: number, end: number): void {
  const { output } = decoder;
  const start = matchStart(decoder);
  if (decoder.done + length > end) throw damaged('a match beyond the end of its chunk');
  // Byte by byte: source and target may overlap, which repeats a pattern.
  for (let i = 0; i < length; i += 1) output[decoder.done + i] = output[start + i] ?? 0;
  decoder.done += length;
}

/** One bit with an adaptive model. */
function bit(decoder: LzmaDecoder, model: number): 0 | 1 {
  const { coder, probabilities } = decoder;
  const probability = probabilities[model] ?? 0;
  const range = coder[0] ?? 0;
  const code = coder[1] ?? 0;
  const bound = (range >>> 11) * probability;
  const isOne = code >= bound;
  coder[0] = isOne ? range - bound : bound;
  if (isOne) coder[1] = code - bound;
  probabilities[model] = isOne ? probability - (probability >> 5) : probability + ((2048 - probability) >> 5);
  if ((coder[0] ?? 0) < 0x1000000) normalize(decoder);
  return isOne ? 1 : 0;
}

function normalize(decoder: LzmaDecoder): void {
  const { coder } = decoder;
  coder[0] = (coder[0] ?? 0) << 8;
  coder[1] = ((coder[1] ?? 0) << 8) | nextByte(decoder);
}

/** A tree of models, highest bit first. */
function bits(decoder: LzmaDecoder, base: number, count: number): number {
  let symbol = 1;
  for (let i = 0; i < count; i += 1) symbol = (symbol << 1) | bit(decoder, base + symbol);
  return symbol - (1 << count);
}

/** A tree of models, lowest bit first. */
function reverseBits(decoder: LzmaDecoder, base: number, count: number): number {
  let [symbol, value] = [1, 0];
  for (let i = 0; i < count; i += 1) {
    const decoded = bit(decoder, base + symbol);
    symbol = (symbol << 1) | decoded;
    value |= decoded << i;
  }
  return value;
}

/** Bits of even odds, without models. */
function plainBits(decoder: LzmaDecoder, count: number): number {
  const { coder } = decoder;
  let value = 0;
  for (let i = 0; i < count; i += 1) {
    const half = (coder[0] ?? 0) >>> 1;
    const isOne = (coder[1] ?? 0) >= half;
    coder[0] = half;
    if (isOne) coder[1] = (coder[1] ?? 0) - half;
    value = value * 2 + (isOne ? 1 : 0);
    if (half < 0x1000000) normalize(decoder);
  }
  return value;
}

/** The next byte of the input. */
export function nextByte(decoder: LzmaDecoder): number {
  const byte = decoder.input[decoder.position];
  if (byte === undefined) throw damaged('an end that comes too early');
  decoder.position += 1;
  return byte;
}

/** The error for data that cannot be what an encoder made. */
export function damaged(what: string): MigrateError {
  return new MigrateError('invalid-input', `the compressed data is damaged: it has ${what}`);
}
