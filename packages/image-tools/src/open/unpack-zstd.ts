import * as zlib from 'node:zlib';
import { type ByteReader, type HostReader, windowOf } from '@migrate/core';
import { unpackByTransform, type ZlibTransform } from './node-transform.ts';
import { unpackByProgram } from './program-stream.ts';
import { damaged, outputChunkBytes, type UnpackOptions } from './stream-options.ts';
import { readZstdFrames, type ZstdFrame } from './zstd-frames.ts';

/** Node has zstd from 22.15 and 23.8 on. */
const createZstdDecompress = (
  zlib as { readonly createZstdDecompress?: (options: { chunkSize: number }) => ZlibTransform }
).createZstdDecompress;

/** The door to the program zstd, for Node without its own. */
export type Unzstd = Pick<HostReader, 'unzstd'>;

/** Size of the image where all frames tell theirs. */
export function zstdImageBytes(frames: readonly ZstdFrame[]): number | undefined {
  return frames.reduce<number | undefined>(
    (sum, { contentBytes }) => (sum === undefined || contentBytes === undefined ? undefined : sum + contentBytes),
    0,
  );
}

/** The contents of a .zst file whose frames were found sound, by Node where it can, else by the program zstd. */
export async function* unpackZstd(
  source: ByteReader,
  options: UnpackOptions & { readonly host: Unzstd; readonly signal?: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  if (createZstdDecompress === undefined) {
    yield* unpackByProgram(source, { ...options, run: (input) => options.host.unzstd(input, options.signal) });
    return;
  }
  for (const frame of await readZstdFrames(source, options)) {
    const window = windowOf(source, frame.startByte, frame.endByte - frame.startByte);
    const frameOptions = { ...options, originByte: frame.startByte };
    const end = yield* unpackByTransform(createZstdDecompress({ chunkSize: outputChunkBytes }), window, frameOptions);
    if (end.usedBytes !== window.sizeBytes) throw damaged(frameOptions, end.usedBytes, 'a zstd frame ends too early');
  }
}
