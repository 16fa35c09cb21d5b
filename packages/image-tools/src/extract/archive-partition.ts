import { createHash } from 'node:crypto';
import { doing, type ExpectedHash, type HashAlgorithm, type Host, type NewFile, throwIfCancelled } from '@migrate/core';
import { gzipBlocks } from '../convert/gzip-blocks.ts';
import type { PartitionTree } from './partition-tree.ts';
import { writeTar } from './write-tar.ts'; /** A quarter less work than at gzip's own 6, for archives larger by less than a hundredth. */

const archiveLevel = 5;

export interface ArchiveRequest {
  readonly host: Host;
  /** Where the archive will lie. */
  readonly path: string;
  readonly opened: PartitionTree;
  /** Of the partition; its files cannot hold more. */
  readonly sizeBytes: number;
  readonly hash: HashAlgorithm;
  readonly signal?: AbortSignal;
  readonly onNote: (text: string) => void;
  readonly onData: (bytes: number) => void;
}

export interface WrittenArchive {
  /** Has its contents, and no name before it is committed. */
  readonly file: NewFile;
  readonly hash: ExpectedHash;
}

const mode = 0o644;

/** Writes the archive of a partition; the caller commits or closes it. */
export async function archivePartition(request: ArchiveRequest): Promise<WrittenArchive> {
  const { host, path, opened, hash: algorithm, signal } = request;
  const hash = createHash(algorithm);
  const file = await host.createFile(path, { mode });
  let filledBytes = 0;
  try {
    await doing(`archiving into ${path}`, 'write-failed', async () => {
      const members = writeTar(opened.tree, {
        maximumDataBytes: request.sizeBytes,
        onData: request.onData,
        onLeftOut: (name, why) => request.onNote(`${name} is left out: ${why}`),
        onHoleFilled: (bytes) => {
          filledBytes += bytes;
        },
      });
      let position = 0;
      for await (const bytes of gzipBlocks(members, { level: archiveLevel })) {
        throwIfCancelled(signal);
        hash.update(bytes);
        await file.write(bytes, position);
        position += bytes.length;
      }
    });
  } catch (thrown) {
    await file.close();
    throw thrown;
  }
  if (filledBytes > opened.freeBytes) {
    request.onNote(
      `its files have small holes of ${filledBytes} bytes in all, which the archive stores as zeros; unpacked they need more than the ${opened.freeBytes} bytes that are free in the partition, unless tar makes holes of zeros again`,
    );
  }
  return { file, hash: { algorithm, digest: hash.digest('hex') } };
}
