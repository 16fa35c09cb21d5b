// Reads a lifeboat where the firmware will, on the bare disk, and compares it with what was written.
import { createHash } from 'node:crypto';
import { type ByteReader, type Emit, type LifeboatRecord, MigrateError, readLifeboatRecord } from '@migrate/core';
import { eachChunk } from './each-chunk.ts';

/**
 * Returns its record; throws `verify-mismatch` where the disk holds something else, which the page cache must not hide. `without` are
 * files that are not looked at.
 */
export async function proveLifeboat(
  disk: ByteReader,
  place: { readonly startByte: number; readonly planId: string },
  emit: Emit,
  without: readonly string[] = [],
): Promise<LifeboatRecord> {
  const record = await readLifeboatRecord(disk, place);
  const pieces = record.pieces.filter(({ path }) => path === undefined || !without.includes(path));
  const total = pieces.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  let done = 0;
  for (const { path, startByte, sizeBytes, sha256 } of pieces) {
    const hash = createHash('sha256');
    await eachChunk(
      disk,
      sizeBytes,
      async (bytes) => {
        hash.update(bytes);
        done += bytes.length;
        emit({ kind: 'progress', text: 'reading the lifeboat back', done, total, unit: 'bytes' });
      },
      startByte,
    );
    if (hash.digest('hex') !== sha256)
      throw new MigrateError(
        'verify-mismatch',
        `the disk does not hold at byte ${startByte} what was written of the lifeboat (${path ?? 'its file system'})`,
      );
  }
  return record;
}
