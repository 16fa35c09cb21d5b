// Writes contents of files to where their blocks lie in an image file, many small ones in one go.
import { type ByteWriter, MigrateError } from '@migrate/core';
import type { BlockRun } from './file-blocks.ts';

export interface BlockWriter {
  /** Takes in a file; the blocks in `runs` get its bytes, what lies in none of them is passed over: a hole. */
  write(file: {
    readonly sizeBytes: number;
    readonly runs: readonly BlockRun[];
    readonly contents: AsyncIterable<Uint8Array>;
  }): Promise<void>;
  /** Writes what is still held back. */
  finish(): Promise<void>;
}

const bufferBytes = 1024 * 1024;

/** `startByte`: where the file system begins in `image`. */
export function blockWriter(
  image: ByteWriter,
  { startByte, blockBytes }: { startByte: number; blockBytes: number },
): BlockWriter {
  const buffer = new Uint8Array(bufferBytes);
  let heldAt = 0;
  let held = 0;
  const finish = async (): Promise<void> => {
    if (held > 0) await image.write(buffer.subarray(0, held), heldAt);
    held = 0;
  };
  const put = async (bytes: Uint8Array, position: number): Promise<void> => {
    if (held > 0 && (position !== heldAt + held || held + bytes.length > bufferBytes)) await finish();
    if (bytes.length > bufferBytes) return image.write(bytes, position);
    if (held === 0) heldAt = position;
    buffer.set(bytes, held);
    held += bytes.length;
  };
  const write: BlockWriter['write'] = async ({ sizeBytes, runs, contents }) => {
    let position = 0;
    let at = 0;
    const take = async (chunk: Uint8Array): Promise<void> => {
      for (let rest = chunk; rest.length > 0; ) {
        while (at < runs.length && endOf(runs[at], blockBytes) <= position) at += 1;
        const run = runs[at];
        if (run === undefined) {
          position += rest.length;
          return;
        }
        const runStart = run.logical * blockBytes;
        const isHole = position < runStart;
        const piece = rest.subarray(0, (isHole ? runStart : endOf(run, blockBytes)) - position);
        if (!isHole) await put(piece, startByte + run.physical * blockBytes + position - runStart);
        position += piece.length;
        rest = rest.subarray(piece.length);
      }
    };
    for await (const chunk of contents) await take(chunk);
    if (position !== sizeBytes)
      throw new MigrateError('invalid-input', 'the contents of a file are not of the size that is said');
    // Its last block held something else before.
    await take(new Uint8Array((blockBytes - (sizeBytes % blockBytes)) % blockBytes));
  };
  return { write, finish };
}

function endOf(run: BlockRun | undefined, blockBytes: number): number {
  return run === undefined ? 0 : (run.logical + run.count) * blockBytes;
}
