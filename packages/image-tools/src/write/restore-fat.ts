// Unpacks an archive into a FAT file system, and proves from the medium that all of it is there.
//
// mtools writes it, file by file from the archive's stream: that needs no vfat module, which an initramfs made for another root
// file system often lacks, no room to unpack the archive first, and behaves the same on every machine. What it cannot keep is
// the time of a file: mtools gives each the time of writing.
import { createHash } from 'node:crypto';
import { type ByteReader, doing, type Emit, type Host, MigrateError, messageOf } from '@migrate/core';
import { type FatEntry, openFat } from '../fat/fat-reader.ts';
import { readTar } from '../tar/read-tar.ts';
import { pathParts } from './archive-rules.ts';
import { archiveStream } from './archive-stream.ts';
import type { ArchiveFacts, ArchiveFile } from './inspect-archive.ts';

export interface RestoreFatRequest {
  readonly host: Host;
  readonly emit: Emit;
  /** Block device of the partition, with a file system and nothing in it. */
  readonly device: string;
  readonly archive: ArchiveFacts;
  /** For messages and progress. */
  readonly label: string;
}

const longestMs = 3_600_000;

/** Throws `write-failed` or `no-space` where mtools fails, `verify-mismatch` where the medium has other files. */
export async function restoreFat(request: RestoreFatRequest): Promise<void> {
  const { host, device, label, archive } = request;
  await doing(`unpacking ${archive.path} into ${label}`, 'write-failed', () => unpack(request));
  // mtools leaves its writes in the page cache.
  await host.run('sync', [], { timeoutMs: longestMs });
  await host.dropCaches();
  await doing(`checking ${label}`, 'verify-mismatch', async () => {
    await host.run('fsck.vfat', ['-n', device], { timeoutMs: longestMs }).catch((thrown: unknown) => {
      throw new MigrateError('verify-mismatch', `fsck.vfat finds fault: ${messageOf(thrown)}`, { cause: thrown });
    });
    await compare(request);
  });
}

async function unpack({ host, emit, device, archive, label }: RestoreFatRequest): Promise<void> {
  const made = new Set<string>();
  const makeDirectories = async (parts: readonly string[]): Promise<void> => {
    for (let depth = 1; depth <= parts.length; depth += 1) {
      const path = parts.slice(0, depth);
      if (made.has(path.join('/'))) continue;
      await mtools(host, 'mmd', ['-i', device, mtoolsPath(path)]);
      made.add(path.join('/'));
    }
  };
  const total = archive.fileBytes;
  const stream = archiveStream(host, archive, (done) =>
    emit({ kind: 'progress', text: `unpacking ${label}`, done, total, unit: 'bytes' }),
  );
  for await (const member of readTar(stream)) {
    const parts = pathParts(member.path);
    await makeDirectories(member.kind === 'directory' ? parts : parts.slice(0, -1));
    if (member.kind === 'file') await mtools(host, 'mcopy', ['-i', device, '-', mtoolsPath(parts)], member.contents());
  }
}

/** mtools takes the directories of a path for patterns, the last name as it is. */
function mtoolsPath(parts: readonly string[]): string {
  const last = parts.length - 1;
  return `::/${parts.map((part, index) => (index < last ? part.replaceAll('[', '[[]') : part)).join('/')}`;
}

async function mtools(
  host: Host,
  command: string,
  args: readonly string[],
  input?: AsyncIterable<Uint8Array>,
): Promise<void> {
  // mtools would refuse sizes that are no multiple of a track, a thing of floppy disks.
  const stream = host.runStream('env', ['MTOOLS_SKIP_CHECK=1', command, ...args], input === undefined ? {} : { input });
  for await (const _ of stream);
}

async function compare({ host, device, archive }: RestoreFatRequest): Promise<void> {
  const reader = await host.openRead(device);
  try {
    const volume = await openFat(reader);
    const wanted = new Map<string, ArchiveFile>(archive.files.map((file) => [file.path, file]));
    const visit = async (directory: FatEntry, path: string): Promise<void> => {
      for (const entry of await volume.children(directory)) {
        const entryPath = `${path}${entry.text}`;
        if (entry.kind === 'directory') {
          await visit(entry, `${entryPath}/`);
          continue;
        }
        const file = wanted.get(entryPath);
        if (file?.sizeBytes !== entry.sizeBytes || file.sha256 !== (await hashOf(volume.open(entry))))
          throw new MigrateError('verify-mismatch', `${entryPath} is not as it is in the archive`);
        wanted.delete(entryPath);
      }
    };
    await visit(volume.root, '');
    const [missing] = wanted.keys();
    if (missing !== undefined) throw new MigrateError('verify-mismatch', `${missing} is missing`);
  } finally {
    await reader.close();
  }
}

const hashChunkBytes = 1024 * 1024;

async function hashOf(contents: ByteReader): Promise<string> {
  const hash = createHash('sha256');
  const chunk = Buffer.alloc(hashChunkBytes);
  for (let position = 0; position < contents.sizeBytes; ) {
    const count = await contents.read(chunk, position);
    if (count === 0) break;
    hash.update(chunk.subarray(0, count));
    position += count;
  }
  return hash.digest('hex');
}
