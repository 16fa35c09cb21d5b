// Disks past the page cache: what is written is on its way to the medium and not in memory, so that progress is true, memory
// stays free for the image that is flashed from it, and what is read back comes from the medium.
import { MigrateError } from '../error.ts';
import type { ByteWriter } from './host.ts';
import { openReadWrite } from './node-bytes.ts';

/** Enough for the logical sectors of any disk; open(2) on O_DIRECT. */
const alignmentBytes = 4096;
const wasmPageBytes = 64 * 1024;

/** Node's own types leave it out. */
interface PageMemory {
  readonly WebAssembly: { readonly Memory: new (size: { initial: number }) => { readonly buffer: ArrayBuffer } };
}

/**
 * Buffers that such reads and writes can use; of any other they are made through the page cache. The memory of WebAssembly is
 * the only one that Node gives at the start of a page.
 */
export function alignedBuffers(count: number, sizeBytes: number): Buffer[] {
  const strideBytes = Math.ceil(sizeBytes / alignmentBytes) * alignmentBytes;
  const { Memory } = (globalThis as unknown as PageMemory).WebAssembly;
  const memory = new Memory({ initial: Math.ceil((count * strideBytes) / wasmPageBytes) });
  return Array.from({ length: count }, (_, index) => Buffer.from(memory.buffer, index * strideBytes, sizeBytes));
}

/**
 * Opens a block device or file for reading and writing with O_DIRECT. Whatever is not aligned, the first and last bytes of a
 * range or all of it, goes through the page cache, and so does everything where O_DIRECT is not to be had. Two calls at a time
 * must not touch the same 64 KiB.
 */
export async function openDirect(path: string): Promise<ByteWriter> {
  const cached = await openReadWrite(path);
  const direct = await orUndefined(openReadWrite(path, { isDirect: true }));
  if (direct === undefined) return cached;
  return {
    sizeBytes: cached.sizeBytes,
    read: async (target, position) => {
      let done = 0;
      for (const { isAligned, startByte, endByte } of partsOf(target.length, position)) {
        const part = target.subarray(startByte, endByte);
        const fast = isAligned ? await orUndefined(direct.read(part, position + startByte)) : undefined;
        const count = fast ?? (await cached.read(part, position + startByte));
        done += count;
        if (count < part.length) break;
      }
      return done;
    },
    write: async (source, position) => {
      for (const { isAligned, startByte, endByte } of partsOf(source.length, position)) {
        const part = source.subarray(startByte, endByte);
        const write = async (writer: ByteWriter): Promise<true> => {
          await writer.write(part, position + startByte);
          return true;
        };
        if (isAligned && (await orUndefined(write(direct))) === true) continue;
        await write(cached);
      }
    },
    // Both are the same file: this takes care of what is in the cache and of what is in the disk's own.
    flush: () => cached.flush(),
    close: async () => {
      await direct.close();
      await cached.close();
    },
  };
}

/** Undefined where the kernel finds that something is not aligned, or knows no O_DIRECT there. */
async function orUndefined<T>(promise: Promise<T>): Promise<T | undefined> {
  try {
    return await promise;
  } catch (thrown) {
    if (thrown instanceof MigrateError && thrown.data.errno === 'EINVAL') return undefined;
    throw thrown;
  }
}

interface AccessPart {
  readonly isAligned: boolean;
  /** From the start of the buffer. */
  readonly startByte: number;
  readonly endByte: number;
}

/** The aligned middle of an access and what stands before and behind it. */
function partsOf(length: number, position: number): readonly AccessPart[] {
  const head = Math.min(length, (alignmentBytes - (position % alignmentBytes)) % alignmentBytes);
  const middle = length - head - ((length - head) % alignmentBytes);
  const parts = [
    { isAligned: false, startByte: 0, endByte: head },
    { isAligned: true, startByte: head, endByte: head + middle },
    { isAligned: false, startByte: head + middle, endByte: length },
  ];
  return parts.filter(({ startByte, endByte }) => startByte < endByte);
}
