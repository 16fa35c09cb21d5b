// Unpacks .xz files held in memory: one stream, as `xz` and the kernel's build make them
// (https://tukaani.org/xz/xz-file-format.txt, sections given below).
import { createHash } from 'node:crypto';
import { crc32 } from '../disk/crc32.ts';
import { MigrateError } from '../error.ts';
import { decodeLzma2 } from './lzma2.ts';
import { undoX86Branches } from './x86-branches.ts';

const headerBytes = 12;
const footerBytes = 12;
const filterX86 = 0x04;
const filterLzma2 = 0x21;
/** Bytes of the check after each block by its type (section 2.1.1.2); CRC64 is not verified, as Node has none. */
const checkBytes = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64] as const;
const checkCrc32 = 1;
const checkSha256 = 10;

export interface XzBlock {
  readonly unpaddedBytes: number;
  readonly plainBytes: number;
}

interface StreamLayout {
  readonly checkType: number;
  readonly blocks: readonly XzBlock[];
  readonly plainBytes: number;
}

/** Size in bytes of what the file unpacks to, by its index; throws `invalid-input` for damaged files. */
export function xzPlainBytes(file: Uint8Array): number {
  return readLayout(Buffer.from(file.buffer, file.byteOffset, file.length)).plainBytes;
}

/**
 * The unpacked contents. Checks of type CRC32 and SHA-256 are verified.
 * Throws `invalid-input` for damaged files, other filters than LZMA2 and x86, and more than `limitBytes` of contents.
 */
export function unpackXz(bytes: Uint8Array, limitBytes: number): Uint8Array {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const layout = readLayout(file);
  if (layout.plainBytes > limitBytes) {
    throw new MigrateError('invalid-input', `it unpacks to ${layout.plainBytes} bytes, more than ${limitBytes}`);
  }
  const output = new Uint8Array(layout.plainBytes);
  let [position, done] = [headerBytes, 0];
  for (const block of layout.blocks) {
    unpackBlock(file.subarray(position, position + roundUp4(block.unpaddedBytes)), {
      target: output.subarray(done, done + block.plainBytes),
      checkType: layout.checkType,
    });
    position += roundUp4(block.unpaddedBytes);
    done += block.plainBytes;
  }
  return output;
}

/** Header, footer and index (sections 2.1 and 4). The blocks lie between header and index and must fill that room. */
function readLayout(file: Buffer): StreamLayout {
  const footer = file.length - footerBytes;
  if (file.length < headerBytes + footerBytes || file.toString('latin1', 0, 6) !== '\xfd7zXZ\0')
    throw damaged('no xz header');
  if (file.toString('latin1', footer + 10) !== 'YZ') throw damaged('no end; the file was cut short');
  const flags = file.subarray(6, 8);
  if (crc32(flags) !== file.readUInt32LE(8) || flags[0] !== 0 || (flags[1] ?? 0) > 15) throw damaged('a wrong header');
  if (crc32(file.subarray(footer + 4, footer + 10)) !== file.readUInt32LE(footer)) throw damaged('a wrong footer');
  if (!flags.equals(file.subarray(footer + 8, footer + 10))) throw damaged('a footer of another file');
  const indexStart = footer - (file.readUInt32LE(footer + 4) + 1) * 4;
  if (indexStart < headerBytes || file[indexStart] !== 0) throw damaged('no index where its footer says');
  if (crc32(file.subarray(indexStart, footer - 4)) !== file.readUInt32LE(footer - 4)) throw damaged('a wrong index');
  const blocks = readXzIndex(file.subarray(indexStart + 1, footer - 4));
  const packedBytes = blocks.reduce((sum, block) => sum + roundUp4(block.unpaddedBytes), 0);
  if (headerBytes + packedBytes !== indexStart) throw damaged('blocks that do not fit its index');
  return {
    checkType: flags[1] ?? 0,
    blocks,
    plainBytes: blocks.reduce((sum, block) => sum + block.plainBytes, 0),
  };
}

/** Records of an index, given without its first byte and its CRC (section 4); throws `invalid-input` where they are cut. */
export function readXzIndex(index: Buffer): readonly XzBlock[] {
  const count = readInteger(index, 0);
  // A record has at least two bytes.
  if (count.value > index.length / 2) throw damaged('an index with too many records');
  const blocks: XzBlock[] = [];
  let position = count.end;
  for (let i = 0; i < count.value; i += 1) {
    const unpadded = readInteger(index, position);
    const plain = readInteger(index, unpadded.end);
    blocks.push({ unpaddedBytes: unpadded.value, plainBytes: plain.value });
    position = plain.end;
  }
  return blocks;
}

/** Block header, data, padding and check (section 3). */
function unpackBlock(block: Buffer, { target, checkType }: { target: Uint8Array; checkType: number }): void {
  const headerSize = ((block[0] ?? 0) + 1) * 4;
  const checkStart = block.length - (checkBytes[checkType] ?? 0);
  if (block[0] === 0 || headerSize > checkStart) throw damaged('a block without header');
  if (crc32(block.subarray(0, headerSize - 4)) !== block.readUInt32LE(headerSize - 4)) {
    throw damaged('a wrong block header');
  }
  const { isX86, x86Start } = readFilters(block.subarray(0, headerSize - 4));
  const { inputEnd, outputEnd } = decodeLzma2({
    input: block.subarray(0, checkStart),
    inputStart: headerSize,
    output: target,
  });
  if (outputEnd !== target.length || roundUp4(inputEnd) !== checkStart) throw damaged('a block of the wrong length');
  if (isX86) undoX86Branches(target, x86Start);
  const check = block.subarray(checkStart);
  if (checkType === checkCrc32 && crc32(target) !== check.readUInt32LE(0)) throw damaged('contents with a wrong CRC');
  if (checkType === checkSha256 && !createHash('sha256').update(target).digest().equals(check)) {
    throw damaged('contents with a wrong SHA-256');
  }
}

function readFilters(header: Buffer): { isX86: boolean; x86Start: number } {
  const flags = header[1] ?? 0;
  if ((flags & 0x3c) !== 0) throw damaged('a block header of unknown form');
  let position = 2;
  // Compressed and uncompressed size; the index has them too.
  for (const bit of [0x40, 0x80]) if ((flags & bit) !== 0) position = readInteger(header, position).end;
  const found: { id: number; properties: Buffer }[] = [];
  for (let i = 0; i <= (flags & 3); i += 1) {
    const id = readInteger(header, position);
    const size = readInteger(header, id.end);
    position = size.end + size.value;
    found.push({ id: id.value, properties: header.subarray(size.end, position) });
  }
  const ids = found.map((filter) => filter.id);
  const isX86 = ids.length === 2 && ids[0] === filterX86;
  if (ids.at(-1) !== filterLzma2 || (ids.length > 1 && !isX86)) {
    throw new MigrateError('invalid-input', `it uses xz filters that are not supported: ${ids.join(', ')}`);
  }
  const properties = found[0]?.properties;
  return { isX86, x86Start: isX86 && properties?.length === 4 ? properties.readUInt32LE(0) : 0 };
}

/** Integers of seven bits a byte, lowest first (section 1.2); larger ones than a number holds are refused. */
function readInteger(bytes: Buffer, start: number): { value: number; end: number } {
  let value = 0;
  for (let i = 0; i < 7; i += 1) {
    const byte = bytes[start + i];
    if (byte === undefined) break;
    value += (byte & 0x7f) * 2 ** (7 * i);
    if ((byte & 0x80) === 0) return { value, end: start + i + 1 };
  }
  throw damaged('an integer that is cut or too large');
}

function roundUp4(value: number): number {
  return Math.ceil(value / 4) * 4;
}

function damaged(what: string): MigrateError {
  return new MigrateError('invalid-input', `the xz file is damaged: it has ${what}`);
}
