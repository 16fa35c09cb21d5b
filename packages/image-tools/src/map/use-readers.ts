import { type ByteReader, MigrateError, readExactly } from '@migrate/core';
import { openExt4 } from '../ext4/ext4-reader.ts';
import { readFatGeometry } from '../fat/fat-geometry.ts';
import { readFatUsage } from '../fat/fat-table.ts';
import type { FileSystemUse, UseReaders } from './used-blocks.ts';

/** The file systems that are understood block by block. */
export const useReaders: UseReaders = { ext: readExtUse, fat: readFatUse };

/** By the block bitmaps; the reader refuses a file system whose journal must be played back, or with errors. */
async function readExtUse(reader: ByteReader): Promise<FileSystemUse> {
  const volume = await openExt4(reader);
  return { sizeBytes: volume.sizeBytes, usedRanges: await volume.usedRanges() };
}

/** By the allocation table, which has the clusters of every file, also of those that lost their directory. */
async function readFatUse(reader: ByteReader): Promise<FileSystemUse> {
  const geometry = await readFatGeometry(reader);
  const boot = await readExactly(reader, 0, 512);
  // Where Linux notes that it has mounted the file system (fs/fat/inode.c, fat_set_state).
  const state = boot?.[geometry.type === 'FAT32' ? 0x41 : 0x25] ?? 0;
  if ((state & 1) !== 0) {
    throw new MigrateError(
      'invalid-input',
      'the FAT file system was not unmounted, so its table may be behind its files',
    );
  }
  return { sizeBytes: geometry.sizeBytes, usedRanges: (await readFatUsage(reader, geometry)).usedRanges };
}
