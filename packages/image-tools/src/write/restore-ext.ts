// Unpacks an archive into an ext file system and proves from the medium that all of it is there.
import { doing, type Emit, type Host, MigrateError, messageOf } from '@migrate/core';
import type { MemberCounts } from './archive-rules.ts';
import { archiveStream } from './archive-stream.ts';
import type { ArchiveFacts } from './inspect-archive.ts';

export interface RestoreExtRequest {
  readonly host: Host;
  readonly emit: Emit;
  /** Block device of the partition, with a file system and nothing in it. */
  readonly device: string;
  readonly fileSystem: string;
  /** An empty directory to mount at. */
  readonly mountPoint: string;
  readonly archive: ArchiveFacts;
  /** For messages and progress. */
  readonly label: string;
}

const longestMs = 24 * 3_600_000;
const safely = ['noatime', 'nodev', 'noexec', 'nosuid'];

/** GNU tar's arguments for unpacking everything that Linux files have. The archive comes by standard input. */
export function unpackArguments(directory: string): readonly string[] {
  return [
    ...['--extract', '--file=-', `--directory=${directory}`, '--numeric-owner', '--same-owner', '--same-permissions'],
    ...['--xattrs', '--xattrs-include=*', '--acls', '--sparse'],
    // The clock may stand at 1970.
    '--warning=no-timestamp',
  ];
}

/** The same for comparing contents, modes, owners, times, links and devices with what lies in a directory. */
export function compareArguments(directory: string): readonly string[] {
  return ['--compare', '--file=-', `--directory=${directory}`, '--numeric-owner'];
}

/**
 * Throws `write-failed` or `no-space` where tar could not do all of it (it must not even warn), and `verify-mismatch` where
 * e2fsck finds fault, other numbers of files than the archive has, or the medium other contents.
 */
export async function restoreExt(request: RestoreExtRequest): Promise<void> {
  const { host, label, archive } = request;
  await doing(`unpacking ${archive.path} into ${label}`, 'write-failed', () => unpack(request));
  await host.dropCaches();
  await doing(`checking ${label}`, 'verify-mismatch', async () => {
    await checkExt(request);
    await compare(request);
  });
}

async function unpack(request: RestoreExtRequest): Promise<void> {
  await mounted(request, [...safely, 'errors=remount-ro'], async () => {
    // GNU tar exits with 0 where it could not set an attribute.
    const said = await runTar(request, unpackArguments(request.mountPoint), {
      verb: 'unpacking',
      refusesWarnings: true,
    });
    if (said.text !== '') throw new MigrateError('write-failed', `tar said: ${said.text}`);
  });
}

async function compare(request: RestoreExtRequest): Promise<void> {
  await mounted(request, [...safely, 'ro'], async () => {
    const said = await runTar(request, compareArguments(request.mountPoint), { verb: 'verifying' });
    if (said.failure !== undefined)
      throw new MigrateError('verify-mismatch', `it differs from its archive: ${said.text}`, { cause: said.failure });
  });
}

const longestSaid = 2000;

/** The start of what tar wrote to stdout, and how it failed where it told it there. */
async function runTar(
  { host, emit, archive, label }: RestoreExtRequest,
  args: readonly string[],
  { verb, ...options }: { verb: string; refusesWarnings?: boolean },
): Promise<{ text: string; failure?: MigrateError }> {
  const total = archive.fileBytes;
  const input = archiveStream(host, archive, (done) =>
    emit({ kind: 'progress', text: `${verb} ${label}`, done, total, unit: 'bytes' }),
  );
  let text = '';
  try {
    for await (const bytes of host.runStream('tar', args, { input, ...options }))
      text = `${text}${Buffer.from(bytes).toString()}`.slice(0, longestSaid);
  } catch (thrown) {
    if (text === '' || !(thrown instanceof MigrateError) || thrown.code !== 'command-failed') throw thrown;
    return { text: text.trim(), failure: thrown };
  }
  return { text: text.trim() };
}

/** Runs `action` while the file system is mounted. A failing unmount is a failure: it may be the write-back that failed. */
async function mounted(
  { host, device, fileSystem, mountPoint }: RestoreExtRequest,
  options: readonly string[],
  action: () => Promise<void>,
): Promise<void> {
  await host.mount({ source: device, target: mountPoint, fileSystem, options });
  try {
    await action();
  } catch (thrown) {
    await host.unmount(mountPoint).catch(() => {});
    throw thrown;
  }
  await host.unmount(mountPoint);
}

async function checkExt({ host, emit, device, archive, label }: RestoreExtRequest): Promise<void> {
  const { stdout } = await host
    .run('e2fsck', ['-f', '-n', '-v', device], { timeoutMs: longestMs })
    .catch((thrown: unknown) => {
      throw new MigrateError('verify-mismatch', `e2fsck finds fault: ${messageOf(thrown)}`, { cause: thrown });
    });
  const differing = expectedSummary(archive.counts).filter(([stem, count]) => summaryNumber(stdout, stem) !== count);
  if (differing.length > 0) {
    const list = differing.map(
      ([stem, count]) => `${summaryNumber(stdout, stem) ?? 'no count'} for "${stem}", not ${count}`,
    );
    throw new MigrateError('verify-mismatch', `e2fsck counts ${list.join('; ')}`);
  }
  const badBlocks = summaryNumber(stdout, 'bad block') ?? 0;
  if (badBlocks > 0) emit({ kind: 'note', level: 'warn', text: `${label}: ${badBlocks} bad blocks are set aside` });
}

/** A number at the end of `e2fsck -v`, by the start of its words (e2fsck/unix.c, show_stats: singular or plural follows). */
export function summaryNumber(text: string, stem: string): number | undefined {
  const number = new RegExp(`^ +(\\d+) ${stem}`, 'm').exec(text)?.[1];
  return number === undefined ? undefined : Number(number);
}

/** The root and lost+found are there besides what the archive has; hard links count as names beyond the first. */
function expectedSummary(counts: MemberCounts): readonly (readonly [string, number])[] {
  return [
    ['regular file', counts.file],
    ['director', counts.directory + 2],
    ['character device file', counts['character-device']],
    ['block device file', counts['block-device']],
    ['fifo', counts.fifo],
    ['link', counts['hard-link']],
    ['symbolic link', counts.symlink],
    ['socket', 0],
  ];
}
