// gzip by zlib-sync, which inflates on the calling thread. It puts out all that one piece of input gives at once, so the
// pieces are small.
import { type ByteReader, crc32, MigrateError } from '@migrate/core';
import { checkPadding } from './inflate-node.ts';
import { damaged, outputChunkBytes, readSlices, type UnpackOptions } from './stream-options.ts';

/** Deflate makes at most 1032 bytes of one (zlib.net/zlib_tech.html), so that no piece gives more than about 4 MiB. */
const pieceBytes = 4 * 1024;

/** The part of zlib-sync that is used (its index.d.ts has the rest). */
interface ZlibSync {
  readonly Z_SYNC_FLUSH: number;
  readonly Z_OK: number;
  readonly Z_STREAM_END: number;
  readonly Z_BUF_ERROR: number;
  readonly Inflate: new (options: {
    chunkSize: number;
    windowBits: number;
  }) => {
    push(input: Buffer, flush: number): void;
    readonly err: number;
    readonly msg: string | null;
    readonly result: Buffer | null;
  };
}

/** See inflateGzip. */
export async function* inflateByZlibSync(source: ByteReader, options: UnpackOptions): AsyncGenerator<Uint8Array> {
  const zlib = await loadZlibSync();
  let member = startMember(zlib);
  let readBytes = 0;
  for await (const slice of readSlices(source, options)) {
    const sliceStart = readBytes;
    readBytes += slice.length;
    for (let offset = 0; offset < slice.length; ) {
      if (member.hasEnded && slice[offset] === 0) {
        await checkPadding(source, { from: sliceStart + offset, seenBytes: readBytes, options });
        return;
      }
      if (member.hasEnded) member = startMember(zlib);
      const piece = Buffer.from(slice.buffer, slice.byteOffset + offset, Math.min(pieceBytes, slice.length - offset));
      const { output, usedBytes, fault } = member.push(piece);
      if (fault !== undefined) throw damaged(options, sliceStart + offset, fault);
      if (output.length > 0) yield output;
      offset += usedBytes;
    }
  }
  if (!member.hasEnded) throw damaged(options, source.sizeBytes, 'the file is cut off');
}

interface Pushed {
  readonly output: Buffer;
  readonly usedBytes: number;
  readonly fault?: string;
}

interface EndOfMember {
  /** The last bytes before the input in which the member ended: its trailer may have begun there. */
  readonly before: Buffer;
  readonly input: Buffer;
  readonly crc: number;
  readonly sizeBytes: number;
}

const trailerBytes = 8;

function startMember(zlib: ZlibSync) {
  // 16 more than the largest window asks for gzip (inflateInit2 in zlib.h).
  const inflate = new zlib.Inflate({ chunkSize: outputChunkBytes, windowBits: 15 + 16 });
  let crc = 0;
  let sizeBytes = 0;
  let before: Buffer = Buffer.alloc(0);
  const push = (input: Buffer): Buffer => {
    // Without the flush it would keep all output from the start on.
    inflate.push(input, zlib.Z_SYNC_FLUSH);
    const output = inflate.result ?? Buffer.alloc(0);
    crc = crc32(output, crc);
    sizeBytes += output.length;
    return output;
  };
  const member = {
    hasEnded: false,
    push: (input: Buffer): Pushed => {
      const output = push(input);
      const { err, msg } = inflate;
      member.hasEnded = err === zlib.Z_STREAM_END;
      const isSound = member.hasEnded || err === zlib.Z_OK || err === zlib.Z_BUF_ERROR;
      if (!isSound) return { output, usedBytes: 0, fault: msg ?? `zlib error ${err}` };
      const usedBytes = member.hasEnded ? findTrailerEnd({ before, input, crc, sizeBytes }) : input.length;
      if (usedBytes === undefined)
        return { output, usedBytes: 0, fault: 'the end of a member is not where it must be' };
      before = Buffer.concat([before, input]).subarray(1 - trailerBytes);
      return { output, usedBytes };
    },
  };
  return member;
}

/** zlib-sync does not tell how much input a member took; but it ends with its CRC and size (RFC 1952, section 2.3.1). */
function findTrailerEnd({ before, input, crc, sizeBytes }: EndOfMember): number | undefined {
  const trailer = Buffer.alloc(trailerBytes);
  trailer.writeUInt32LE(crc, 0);
  trailer.writeUInt32LE(sizeBytes % 2 ** 32, 4);
  const bytes = Buffer.concat([before, input]);
  const start = bytes.indexOf(trailer);
  if (start < 0) return undefined;
  let end = start + trailerBytes;
  // The trailer of an empty member is zeros and may follow a zero; zeros behind it are padding.
  while (sizeBytes === 0 && bytes[end] === 0) end += 1;
  return end - before.length;
}

async function loadZlibSync(): Promise<ZlibSync> {
  // Not a literal, so that no bundler takes a native library for a part of the program.
  const name: string = 'zlib-sync';
  try {
    const module: { default: ZlibSync } = await import(name);
    return module.default;
  } catch (thrown) {
    throw new MigrateError(
      'not-found',
      'the inflate engine zlib-sync is not installed: npm install zlib-sync (it needs a C++ compiler), or use the engine node',
      { cause: thrown },
    );
  }
}
