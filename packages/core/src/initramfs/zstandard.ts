// Unpacks .zst files held in memory, within bounds.
import { Decompress } from 'fzstd';
import { MigrateError } from '../error.ts';

const magic = 0xfd2fb528;
/** What the zstd tool itself accepts without being told otherwise (its --long=27). */
const windowLimitBytes = 128 * 1024 * 1024;
const pieceBytes = 64 * 1024;

interface FrameHeader {
  readonly windowBytes: number;
  /** Size of the contents, where the frame says it. */
  readonly contentBytes: number | undefined;
}

/** Header of the first frame (RFC 8878, section 3.1.1.1); throws `invalid-input` where there is none. */
export function readZstandardHeader(bytes: Uint8Array): FrameHeader {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (file.length < 18 || file.readUInt32LE(0) !== magic) {
    throw new MigrateError('invalid-input', 'it has no Zstandard header');
  }
  const descriptor = file.readUInt8(4);
  const isSingleSegment = (descriptor & 0x20) !== 0;
  const dictionaryIdBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeFlag = descriptor >> 6;
  const position = 5 + (isSingleSegment ? 0 : 1) + dictionaryIdBytes;
  const contentBytes = contentSize(file, position, sizeFlag === 0 && !isSingleSegment ? undefined : sizeFlag);
  const window = file.readUInt8(5);
  const windowBytes = 2 ** (10 + (window >> 3)) * (1 + (window & 7) / 8);
  return { windowBytes: isSingleSegment ? (contentBytes ?? 0) : windowBytes, contentBytes };
}

function contentSize(file: Buffer, position: number, sizeFlag: number | undefined): number | undefined {
  if (sizeFlag === undefined) return undefined;
  if (sizeFlag === 0) return file.readUInt8(position);
  if (sizeFlag === 1) return file.readUInt16LE(position) + 256;
  return sizeFlag === 2 ? file.readUInt32LE(position) : Number(file.readBigUInt64LE(position));
}

/**
 * The unpacked contents. Throws `invalid-input` for damaged data, windows beyond 128 MiB and more than `limitBytes` of
 * contents. The checksum of a frame is not verified.
 */
export function unpackZstandard(bytes: Uint8Array, limitBytes: number): Uint8Array {
  const { windowBytes, contentBytes } = readZstandardHeader(bytes);
  if (windowBytes > windowLimitBytes)
    throw new MigrateError('invalid-input', `it needs a window of ${windowBytes} bytes`);
  const chunks: Uint8Array[] = [];
  let total = 0;
  const stream = new Decompress((chunk) => {
    total += chunk.length;
    if (total > limitBytes) throw tooLarge(limitBytes);
    chunks.push(chunk);
  });
  if (contentBytes !== undefined && contentBytes > limitBytes) throw tooLarge(limitBytes);
  try {
    for (let start = 0; start < bytes.length; start += pieceBytes) {
      stream.push(bytes.subarray(start, start + pieceBytes), start + pieceBytes >= bytes.length);
    }
  } catch (thrown) {
    if (thrown instanceof MigrateError) throw thrown;
    throw new MigrateError('invalid-input', 'the Zstandard data is damaged', { cause: thrown });
  }
  if (contentBytes !== undefined && total !== contentBytes) {
    throw new MigrateError('invalid-input', `the Zstandard data is damaged: ${total} bytes instead of ${contentBytes}`);
  }
  return Buffer.concat(chunks, total);
}

function tooLarge(limitBytes: number): MigrateError {
  return new MigrateError('invalid-input', `it unpacks to more than ${limitBytes} bytes`);
}
