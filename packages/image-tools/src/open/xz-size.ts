// Size of what an .xz file unpacks to, from the indexes at the ends of its streams
// (https://tukaani.org/xz/xz-file-format.txt, sections 2.1.2, 2.2 and 4).
import { type ByteReader, MigrateError, readExactly, readXzIndex } from '@migrate/core';

const headerBytes = 12;
const footerBytes = 12;
/** Index of an image of some TiB; a larger one is left alone. */
const maximumIndexBytes = 16 * 1024 * 1024;
/** Words of zeros between streams. */
const maximumPaddingBytes = 64 * 1024;

/** Undefined where the file is not as it should be: what is wrong with it shows when it is unpacked. */
export async function xzImageBytes(source: ByteReader): Promise<number | undefined> {
  let imageBytes = 0;
  for (let end = source.sizeBytes; end > 0; ) {
    const stream = await readLastStream(source, await withoutPadding(source, end));
    if (stream === undefined) return undefined;
    imageBytes += stream.imageBytes;
    end = stream.startByte;
  }
  return imageBytes;
}

async function withoutPadding(source: ByteReader, end: number): Promise<number> {
  for (let padding = 0; padding < maximumPaddingBytes; padding += 4) {
    const word = await readExactly(source, end - padding - 4, 4);
    if (word?.readUInt32LE(0) !== 0) return end - padding;
  }
  return end;
}

async function readLastStream(
  source: ByteReader,
  end: number,
): Promise<{ readonly startByte: number; readonly imageBytes: number } | undefined> {
  const footer = await readExactly(source, end - footerBytes, footerBytes);
  if (footer?.toString('latin1', 10) !== 'YZ') return undefined;
  const indexBytes = (footer.readUInt32LE(4) + 1) * 4;
  const indexStart = end - footerBytes - indexBytes;
  const index = indexBytes > maximumIndexBytes ? undefined : await readExactly(source, indexStart, indexBytes);
  if (index === undefined || index[0] !== 0) return undefined;
  try {
    const blocks = readXzIndex(index.subarray(1, -4));
    const packedBytes = blocks.reduce((sum, block) => sum + Math.ceil(block.unpaddedBytes / 4) * 4, 0);
    const startByte = indexStart - packedBytes - headerBytes;
    const imageBytes = blocks.reduce((sum, block) => sum + block.plainBytes, 0);
    return startByte < 0 ? undefined : { startByte, imageBytes };
  } catch (thrown) {
    if (thrown instanceof MigrateError) return undefined;
    throw thrown;
  }
}
