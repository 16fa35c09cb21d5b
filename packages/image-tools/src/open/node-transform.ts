// Drives one of the unpacking streams of node:zlib by hand: bounded, and no faster than its receiver.
import type { Transform } from 'node:stream';
import { type ByteReader, isSystemError } from '@migrate/core';
import { damaged, sliceBytes, type UnpackOptions } from './stream-options.ts';

/** What the streams of node:zlib have in common. */
export type ZlibTransform = Transform & {
  /** Bytes of input that were used. */
  readonly bytesWritten: number;
};

export interface TransformEnd {
  /** Where the packed data ended in the reader. */
  readonly usedBytes: number;
  /** How far the reader was read, and shown to onFileBytes. */
  readonly readBytes: number;
}

/** What `transform` makes of the reader's bytes, then where they ended. Throws `invalid-input` for what it calls damaged. */
export async function* unpackByTransform(
  transform: ZlibTransform,
  source: ByteReader,
  options: UnpackOptions,
): AsyncGenerator<Uint8Array, TransformEnd> {
  const feeder = feed(transform, source, options);
  try {
    for await (const chunk of transform) yield chunk as Uint8Array;
  } catch (thrown) {
    throw asDamage(thrown, { transform, source, options });
  } finally {
    transform.destroy();
    await feeder.stopped;
  }
  return { usedBytes: transform.bytesWritten, readBytes: feeder.positionByte() };
}

/** Puts the file into zlib slice by slice, the next slice being read while the one before is inflated. */
function feed(transform: ZlibTransform, source: ByteReader, { onFileBytes }: UnpackOptions) {
  // Node leaves the callback of a write uncalled where the stream ends before the input does.
  const closed = new Promise<void>((resolve) => transform.once('close', resolve));
  const slices = [Buffer.allocUnsafeSlow(sliceBytes), Buffer.allocUnsafeSlow(sliceBytes)] as const;
  let position = 0;
  const write = (slice: Buffer): Promise<void> =>
    Promise.race([closed, new Promise<void>((resolve) => transform.write(slice, () => resolve()))]);
  const run = async (): Promise<void> => {
    let writing = Promise.resolve();
    for (let turn = 0; !transform.destroyed; turn ^= 1) {
      const slice = turn === 0 ? slices[0] : slices[1];
      const count = await source.read(slice, position);
      if (count > 0) {
        position += count;
        await onFileBytes?.(slice.subarray(0, count));
      }
      await writing;
      if (transform.destroyed) return;
      if (count === 0) {
        transform.end();
        return;
      }
      writing = write(slice.subarray(0, count));
    }
  };
  const stopped = run().catch((thrown: unknown) => {
    transform.destroy(thrown instanceof Error ? thrown : new Error(String(thrown)));
  });
  return { stopped, positionByte: () => position };
}

function asDamage(
  thrown: unknown,
  { transform, source, options }: { transform: ZlibTransform; source: ByteReader; options: UnpackOptions },
): unknown {
  // zlib's errors have a code but no system call, unlike those of a failed read.
  const code = thrown instanceof Error && 'code' in thrown && !isSystemError(thrown) ? thrown.code : undefined;
  if (typeof code !== 'string' || !/^(Z_|ZSTD_)/.test(code)) return thrown;
  if (code === 'Z_BUF_ERROR') return damaged(options, source.sizeBytes, 'the file is cut off', thrown);
  return damaged(options, transform.bytesWritten, thrown instanceof Error ? thrown.message : code, thrown);
}
