import { createHash } from 'node:crypto';
import { type ByteReader, doing, type Emit, type FileReference, type HostReader, MigrateError } from '@migrate/core';
import { compressionOf, type ImageCompression } from '../open/image-compression.ts';
import { readImageBytes } from '../open/inflate-image.ts';
import { readTar, type TarMember } from '../tar/read-tar.ts';
import { extRoom, leastFreeBytes, type Room, roomCounter } from './archive-needs.ts';
import { archiveRules, type MemberCounts } from './archive-rules.ts';
import type { ExtParameters } from './file-system-command.ts';

/** What is known of an archive after it was read to its end. Plain data. */
export interface ArchiveFacts {
  readonly path: string;
  readonly compression: ImageCompression;
  /** Size of the file, and sha256 of it in lower-case hex. */
  readonly fileBytes: number;
  readonly fileSha256: string;
  /** Largest size that it may inflate to. */
  readonly maximumBytes: number;
  readonly counts: MemberCounts;
  /** FAT only: every file. */
  readonly files: readonly ArchiveFile[];
  /** What its file system will have free beside it, at the least; not for FAT. */
  readonly freeBytes?: number;
}

export interface ArchiveFile {
  /** Without "." and empty parts. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export interface ArchiveRequest {
  readonly host: HostReader;
  readonly reference: FileReference;
  /** Size of the partition that it goes into, and the file system that will be there. */
  readonly sizeBytes: number;
  readonly fileSystem: ExtParameters | 'fat';
  readonly emit: Emit;
}

/** A header for every few hundred bytes of contents is the most that small files need; beyond it lies a bomb. */
const inflatedPerPartition = 3;
const inflatedAtLeast = 64 * 1024 * 1024;
/** The smallest cluster of FAT takes this many bytes; FATs and root directory take at most this share. */
const fatClusterBytes = 512;
const fatShare = 0.99;

/**
 * Reads an archive to its end before anything is written: its hash as configured, every member against the rules of
 * archive-rules.ts, and the sum of what it needs against the room in the file system to come. Throws `verify-mismatch`,
 * `invalid-input` naming archive and member, and `no-space`.
 */
export async function inspectArchive(request: ArchiveRequest): Promise<ArchiveFacts> {
  const { host, reference, sizeBytes } = request;
  const { path, hash } = reference;
  return doing(`reading the archive ${path}`, 'read-failed', async () => {
    const source = await host.openRead(path);
    try {
      const sha256 = createHash('sha256');
      const configured = hash === undefined ? undefined : createHash(hash.algorithm);
      const onFileBytes = (bytes: Uint8Array): void => {
        sha256.update(bytes);
        configured?.update(bytes);
      };
      const compression = await compressionOf(source, path);
      const maximumBytes = sizeBytes * inflatedPerPartition + inflatedAtLeast;
      const observed = withProgress(onFileBytes, source, request);
      const stream = readImageBytes(source, { path, compression, host, maximumBytes, onFileBytes: observed });
      const found = await readMembers(stream, request);
      const digest = configured?.digest('hex');
      if (hash !== undefined && digest !== hash.digest)
        throw new MigrateError('verify-mismatch', `its ${hash.algorithm} is ${digest}, not ${hash.digest}`);
      const { sizeBytes: fileBytes } = source;
      return { path, compression, fileBytes, fileSha256: sha256.digest('hex'), maximumBytes, ...found };
    } finally {
      await source.close();
    }
  });
}

async function readMembers(
  stream: AsyncIterable<Uint8Array>,
  { sizeBytes, fileSystem }: ArchiveRequest,
): Promise<Pick<ArchiveFacts, 'counts' | 'files' | 'freeBytes'>> {
  const rules = archiveRules(fileSystem === 'fat' ? 'fat' : 'ext');
  const room = fileSystem === 'fat' ? undefined : roomCounter(fileSystem);
  const files: ArchiveFile[] = [];
  let fatBytes = 0;
  for await (const member of readTar(stream)) {
    const path = rules.admit(member);
    room?.add(path, member);
    if (fileSystem === 'fat' && member.kind === 'file') {
      files.push({ path, sizeBytes: member.sizeBytes, sha256: await hashOf(member) });
      fatBytes += Math.ceil(member.sizeBytes / fatClusterBytes) * fatClusterBytes;
    }
  }
  const counts = rules.counts();
  if (fileSystem === 'fat' || room === undefined) {
    checkFatRoom(fatBytes + counts.directory * fatClusterBytes, sizeBytes);
    return { counts, files };
  }
  const need = room.total();
  checkExtRoom(need, extRoom(sizeBytes, fileSystem), fileSystem);
  return { counts, files, freeBytes: leastFreeBytes(sizeBytes, fileSystem, need) };
}

async function hashOf(member: TarMember): Promise<string> {
  const hash = createHash('sha256');
  for await (const bytes of member.contents()) hash.update(bytes);
  return hash.digest('hex');
}

function checkFatRoom(needBytes: number, sizeBytes: number): void {
  if (needBytes > sizeBytes * fatShare) {
    throw new MigrateError('no-space', `its files need ${needBytes} bytes, the partition has ${sizeBytes}`);
  }
}

function checkExtRoom(need: Room, has: Room, { blockBytes }: ExtParameters): void {
  if (need.blocks > has.blocks) {
    throw new MigrateError(
      'no-space',
      `its files need ${need.blocks} blocks of ${blockBytes} bytes, the file system will have ${has.blocks}`,
    );
  }
  if (need.inodes > has.inodes)
    throw new MigrateError('no-space', `it has ${need.inodes} files, the file system will have room for ${has.inodes}`);
}

const progressStepBytes = 4 * 1024 * 1024;

/** Passes the bytes on and tells how far the file was read, every few MiB. */
function withProgress(
  onFileBytes: (bytes: Uint8Array) => void,
  source: ByteReader,
  { emit, reference }: Pick<ArchiveRequest, 'emit' | 'reference'>,
): (bytes: Uint8Array) => void {
  let done = 0;
  let told = 0;
  return (bytes) => {
    onFileBytes(bytes);
    done += bytes.length;
    if (done - told < progressStepBytes && done < source.sizeBytes) return;
    told = done;
    emit({ kind: 'progress', text: `proving ${reference.path}`, done, total: source.sizeBytes, unit: 'bytes' });
  };
}
