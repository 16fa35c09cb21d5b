// Where the frames of a .zst file lie, by the sizes in front of their blocks (RFC 8878, section 3.1), nothing unpacked. Neither
// Node's zstd nor one that is stopped early tells a file that was cut off between blocks, or more frames than one.
import type { ByteReader } from '@migrate/core';
import { damaged, type UnpackOptions } from './stream-options.ts';

export interface ZstdFrame {
  readonly startByte: number;
  readonly endByte: number;
  /** Size of its contents, where the frame says it. */
  readonly contentBytes: number | undefined;
}

const frameMagic = 0xfd2fb528;
/** The largest header that is needed at once: magic, descriptor, window, dictionary, content size. */
const headerBytes = 18;
const blockHeaderBytes = 3;
const lookAheadBytes = 64 * 1024;

/** All frames, skippable ones left out. Throws `invalid-input` with the place where the file is cut off or something else follows. */
export async function readZstdFrames(source: ByteReader, options: UnpackOptions): Promise<readonly ZstdFrame[]> {
  const read = lookAhead(source);
  const cutOff = (): Error => damaged(options, source.sizeBytes, 'the file is cut off');
  const frames: ZstdFrame[] = [];
  for (let position = 0; position < source.sizeBytes; ) {
    const header = await read(position, headerBytes);
    if (header.length < 8) throw cutOff();
    const magic = header.readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) {
      position += 8 + header.readUInt32LE(4);
      if (position > source.sizeBytes) throw cutOff();
      continue;
    }
    if (magic !== frameMagic) throw damaged(options, position, 'something that is not zstd follows');
    const { blocksStart, contentBytes, hasChecksum } = readFrameHeader(header);
    const endByte = (await skipBlocks(read, position + blocksStart)) + (hasChecksum ? 4 : 0);
    if (!(endByte <= source.sizeBytes)) throw cutOff();
    frames.push({ startByte: position, endByte, contentBytes });
    position = endByte;
  }
  return frames;
}

/** Frame_Header (section 3.1.1.1). */
function readFrameHeader(header: Buffer) {
  const descriptor = header.readUInt8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeStart = 5 + (isSingleSegment ? 0 : 1) + dictionaryIdBytes;
  const sizeBytes = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  return {
    blocksStart: sizeStart + sizeBytes,
    contentBytes: readContentSize(header, sizeStart, sizeBytes),
    hasChecksum: (descriptor & 4) !== 0,
  };
}

function readContentSize(header: Buffer, start: number, sizeBytes: number): number | undefined {
  if (sizeBytes === 0 || header.length < start + sizeBytes) return undefined;
  if (sizeBytes === 8) return Number(header.readBigUInt64LE(start));
  return header.readUIntLE(start, sizeBytes) + (sizeBytes === 2 ? 256 : 0);
}

/** Follows the Block_Headers (section 3.1.1.2) to the end of the last block; infinity where the file ends before. */
async function skipBlocks(read: ReturnType<typeof lookAhead>, start: number): Promise<number> {
  for (let position = start; ; ) {
    const bytes = await read(position, blockHeaderBytes);
    if (bytes.length < blockHeaderBytes) return Number.POSITIVE_INFINITY;
    const header = bytes.readUIntLE(0, blockHeaderBytes);
    // A block of one repeated byte holds that byte only, whatever its size.
    const isRepeated = ((header >> 1) & 3) === 1;
    position += blockHeaderBytes + (isRepeated ? 1 : header >> 3);
    if ((header & 1) !== 0) return position;
  }
}

/** Small reads that go forward, most of them out of memory: zeros are blocks of four bytes. */
function lookAhead(source: ByteReader) {
  const buffer = Buffer.allocUnsafeSlow(lookAheadBytes);
  let start = 0;
  let filled = 0;
  return async (position: number, sizeBytes: number): Promise<Buffer> => {
    if (position < start || position + sizeBytes > start + filled) {
      start = position;
      filled = await source.read(buffer, position);
    }
    return buffer.subarray(position - start, Math.min(position - start + sizeBytes, filled));
  };
}
