import type { ByteReader } from '../host/host.ts';

/** Reads from bytes in memory. */
export function readerOf(bytes: Uint8Array): ByteReader {
  return {
    sizeBytes: bytes.length,
    read: async (target, position) => {
      const part = bytes.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
    close: async () => {},
  };
}

/** A part of a reader as a reader of its own; closing it leaves the whole open. Reads end at its end. */
export function windowOf(reader: ByteReader, offsetBytes: number, sizeBytes: number): ByteReader {
  return windowsOf(reader, [{ startByte: offsetBytes, sizeBytes }]);
}

/** The same for several parts, one behind the other. */
export function windowsOf(
  reader: ByteReader,
  parts: readonly { readonly startByte: number; readonly sizeBytes: number }[],
): ByteReader {
  return {
    sizeBytes: parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    read: async (target, position) => {
      let done = 0;
      let partBegins = 0;
      for (const { startByte, sizeBytes } of parts) {
        const offset = position + done - partBegins;
        const length = Math.min(target.length - done, sizeBytes - offset);
        partBegins += sizeBytes;
        if (length <= 0) continue;
        const count = await reader.read(target.subarray(done, done + length), startByte + offset);
        done += count;
        if (count < length) break;
      }
      return done;
    },
    close: async () => {},
  };
}

const chunkBytes = 1024 * 1024;

/** The bytes of a reader to its end, in chunks that the receiver may keep; it is closed in the end. */
export async function* readToEnd(reader: ByteReader): AsyncGenerator<Uint8Array> {
  try {
    for (let position = 0; ; ) {
      const chunk = new Uint8Array(chunkBytes);
      const length = await reader.read(chunk, position);
      if (length === 0) return;
      yield chunk.subarray(0, length);
      position += length;
    }
  } finally {
    await reader.close();
  }
}

/** Exactly `sizeBytes` from `position`, or undefined where the reader ends before. */
export async function readExactly(
  reader: ByteReader,
  position: number,
  sizeBytes: number,
): Promise<Buffer | undefined> {
  // Places that no file can have come from damaged tables, and would make Node throw a RangeError.
  if (position < 0 || !Number.isSafeInteger(position + sizeBytes)) return undefined;
  const bytes = Buffer.alloc(sizeBytes);
  return (await reader.read(bytes, position)) === sizeBytes ? bytes : undefined;
}
