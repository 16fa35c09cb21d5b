// The backup as a file, and how large that file would be.
import { createHash } from 'node:crypto';
import { type Emit, type Host, type HostReader, MigrateError, type SurveyedVolume } from '@migrate/core';
import { gzipBlocks } from '../convert/gzip-blocks.ts';
import { archiveBackup } from './archive-backup.ts';

export interface BackupRequest {
  readonly volumes: readonly SurveyedVolume[];
  /** Directories that are never entered. */
  readonly leaveOut: readonly string[];
  readonly emit: Emit;
}

/** Changes of files that are told one by one; then only how many there were. */
const toldChanges = 20;

/**
 * Writes the archive to `to`, where it appears complete and durable, with mode 0600. Throws `no-space` once it is longer than
 * `limitBytes`.
 */
export async function writeBackup(
  host: Host,
  request: BackupRequest,
  { to, limitBytes }: { to: string; limitBytes: number },
): Promise<{ readonly sizeBytes: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  const file = await host.createFile(to, { mode: 0o600 });
  try {
    let sizeBytes = 0;
    for await (const chunk of compressed(host, request, 'backing up')) {
      if (sizeBytes + chunk.length > limitBytes) {
        throw new MigrateError(
          'no-space',
          `the backup is longer than the ${limitBytes} bytes that were planned, as its files have grown: run migrate again`,
        );
      }
      hash.update(chunk);
      await file.write(chunk, sizeBytes);
      sizeBytes += chunk.length;
    }
    await file.commit();
    return { sizeBytes, sha256: hash.digest('hex') };
  } finally {
    await file.close();
  }
}

/** Bytes that the archive would have now; nothing is written. */
export async function measureBackup(host: HostReader, request: BackupRequest): Promise<number> {
  let sizeBytes = 0;
  for await (const chunk of compressed(host, request, 'measuring the backup')) sizeBytes += chunk.length;
  return sizeBytes;
}

async function* compressed(
  host: HostReader,
  { volumes, leaveOut, emit }: BackupRequest,
  text: string,
): AsyncGenerator<Uint8Array> {
  const planned = volumes.reduce((sum, { contentBytes }) => sum + contentBytes, 0);
  let [done, changes] = [0, 0];
  const note = (what: string): void => emit({ kind: 'note', level: 'warn', text: what });
  const archive = archiveBackup(host, volumes, {
    leaveOut,
    onData: (bytes) => {
      done += bytes;
      emit({ kind: 'progress', text, done, total: Math.max(done, planned), unit: 'bytes' });
    },
    onChange: (what) => {
      changes += 1;
      if (changes <= toldChanges) note(what);
    },
  });
  yield* gzipBlocks(archive);
  if (changes > toldChanges) note(`${changes - toldChanges} more files changed while they were read`);
}
