// Unpacks an archive into a FAT file system, and proves from the medium that all of it is there.
//
// mtools writes it, file by file from the archive's stream: that needs no vfat module, which an initramfs made for another root
// file system often lacks, no room to unpack the archive first, and behaves the same on every machine. What it cannot keep is
// the time of a file: mtools gives each the time of writing.
import { createHash } from 'node:crypto';
import { doing, type Emit, type Host, MigrateError, messageOf } from '@migrate/core';
import { openFat } from '../fat/fat-reader.ts';
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
  await host.run('env', ['MTOOLS_SKIP_CHECK=1', command, ...args], {
    timeoutMs: longestMs,
    ...(input === undefined ? {} : { input }),
  });
}

async function compare({ host, device, archive }: RestoreFatRequest): Promise<void> {
  const reader = await host.openRead(device);
  try {
    const volume = await openFat(reader);
    const wanted = new Map<string, ArchiveFile>(archive.files.map((file) => [file.path, file]));
    const visit = async (directory: string): Promise<void> => {
      for (const { text, kind, sizeBytes } of await volume.list(directory)) {
        const path = `${directory}/${text}`;
        if (kind === 'directory') {
          await visit(path);
          continue;
        }
        const file = wanted.get(path.slice(1));
        if (file === undefined || file.sizeBytes !== sizeBytes) throw differing(path);
        const sha256 = createHash('sha256').update(await volume.readFile(path, sizeBytes));
        if (sha256.digest('hex') !== file.sha256) throw differing(path);
        wanted.delete(file.path);
      }
    };
    await visit('');
    const [missing] = wanted.keys();
    if (missing !== undefined) throw new MigrateError('verify-mismatch', `${missing} is missing`);
  } finally {
    await reader.close();
  }
}

function differing(path: string): MigrateError {
  return new MigrateError('verify-mismatch', `${path} is not as it is in the archive`);
}
