// How much a backup will be, and what it leaves out, before anything is written.
import { MigrateError } from '../error.ts';
import type { HostReader } from '../host/host.ts';
import { error, warning } from '../plan/check-machine.ts';
import type { Finding } from '../plan/finding.ts';
import { type BackupMember, backupMembers, type LeftOutReason } from './backup-members.ts';
import { checkRequest, type RequestedVolume } from './backup-request.ts';

export interface SurveyedVolume extends RequestedVolume {
  /** All that is not a directory. */
  readonly files: number;
  /** Sum of the sizes of regular files. */
  readonly contentBytes: number;
}

export interface BackupSurvey {
  readonly volumes: readonly SurveyedVolume[];
  /** Most bytes that the archive may have once compressed; with room for files that grow meanwhile. */
  readonly archiveBytes: number;
  /** Whether `archiveBytes` is what compressing gave; else as if nothing could be compressed. */
  readonly isMeasured: boolean;
  /** Bytes that the unpacked volumes take, in blocks of 4 KiB. */
  readonly unpackedBytes: number;
}

const tarBlockBytes = 512;
const tarNameBytes = 100;
const blockBytes = 4096;
/** Files go on growing between plan and archive. */
const growth = { part: 0.01, bytes: 1024 * 1024 };

const leftOutReasons: Readonly<Record<LeftOutReason, readonly [code: string, text: string, hint: string]>> = {
  socket: ['backup-left-out', 'is a socket, which no archive can hold', 'Programs make their sockets anew'],
  device: ['backup-left-out', 'is a device node, which the new system has of its own', 'Nothing needs to be done'],
  'other file system': [
    'backup-other-file-system',
    'is mounted from another file system and stays behind',
    'Name it as a source of its own if it is to be taken',
  ],
  'long name': [
    'backup-left-out',
    'has a name or target of more than 4094 bytes, which the new system could not unpack',
    'Move it to a shorter path',
  ],
  own: ['backup-left-out', 'belongs to migrate itself', 'Nothing needs to be done'],
};

/**
 * Walks over everything that is asked for. Findings are all that the request or the files have against them; the survey is
 * there if none of them is an error.
 */
export async function surveyBackup(
  host: HostReader,
  request: readonly RequestedVolume[],
  leaveOut: readonly string[],
): Promise<{ readonly survey?: BackupSurvey; readonly findings: readonly Finding[] }> {
  const findings: Finding[] = [...checkRequest(request)];
  if (findings.length > 0) return { findings };
  const volumes: SurveyedVolume[] = [];
  const leftOut = new Map<LeftOutReason, { readonly first: string; count: number }>();
  const onLeftOut = (source: string, why: LeftOutReason): void => {
    const known = leftOut.get(why);
    if (known === undefined) leftOut.set(why, { first: source, count: 1 });
    else known.count += 1;
  };
  let [tarBytes, unpackedBytes] = [2 * tarBlockBytes, 0];
  for (const volume of request) {
    let [files, contentBytes, entries] = [0, 0, 0];
    try {
      for await (const member of backupMembers(host, volume, { leaveOut, onLeftOut })) {
        const size = member.found?.entry.sizeBytes ?? 0;
        const kind = member.found?.entry.kind ?? 'directory';
        entries += 1;
        if (kind !== 'directory') files += 1;
        if (kind === 'file') contentBytes += size;
        tarBytes += bytesInTar(member);
        unpackedBytes += blockBytes + (kind === 'file' ? roundUp(size, blockBytes) : 0);
      }
      volumes.push({ ...volume, files, contentBytes });
      if (files === 0) {
        const message =
          entries === 0 ? 'nothing is chosen, so the volume is not made' : 'no file is chosen, only directories';
        findings.push(warning('backup-empty', `migrate.backup "${volume.name}"`, message, 'Correct source or filter'));
      }
    } catch (thrown) {
      if (!(thrown instanceof MigrateError)) throw thrown;
      const where = typeof thrown.data.path === 'string' ? thrown.data.path : `migrate.backup "${volume.name}"`;
      findings.push(error(`backup-${thrown.code}`, where, thrown.message, 'Correct migrate.backup'));
    }
  }
  for (const [why, { first, count }] of leftOut) {
    const [code, text, hint] = leftOutReasons[why];
    findings.push(warning(code, first, `it ${text}${count > 1 ? ` (and ${count - 1} more)` : ''}`, hint));
  }
  if (findings.some(({ severity }) => severity === 'error')) return { findings };
  // deflate stores what it cannot compress in blocks with 5 bytes before each 16 KiB.
  const archiveBytes = withGrowth(Math.ceil(tarBytes * 1.0004));
  return { survey: { volumes, archiveBytes, isMeasured: false, unpackedBytes }, findings };
}

/** The survey with the size that compressing really gave, in bytes. */
export function withMeasuredSize(survey: BackupSurvey, compressedBytes: number): BackupSurvey {
  return { ...survey, archiveBytes: withGrowth(compressedBytes), isMeasured: true };
}

function withGrowth(bytes: number): number {
  return Math.ceil(bytes * (1 + growth.part)) + growth.bytes;
}

/** Header, long names and contents, a link's target at its longest. */
function bytesInTar({ path, found }: BackupMember): number {
  const nameBytes = path.length < tarNameBytes ? 0 : tarBlockBytes + roundUp(path.length + 2, tarBlockBytes);
  const size = found?.entry.sizeBytes ?? 0;
  const isLongLink = found?.entry.kind === 'symlink' && size >= tarNameBytes;
  const contentBytes = found?.entry.kind === 'file' || isLongLink ? roundUp(size + 1, tarBlockBytes) : 0;
  return tarBlockBytes + nameBytes + contentBytes + (isLongLink ? tarBlockBytes : 0);
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
