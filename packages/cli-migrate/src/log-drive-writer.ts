// Writes the log of stage 2 to the drive that the operator named, while stage 2 runs. Nothing ever waits for it: a drive that
// comes late, is full, was pulled out or hangs costs the log on it and nothing else.
import {
  type Host,
  type LogDrive,
  type LogRecord,
  type LogSink,
  MigrateError,
  messageOf,
  textLine,
} from '@migrate/core';

const fileName = 'migrate.log';
const pendingLimitBytes = 1024 * 1024;

export interface LogDriveRequest {
  readonly host: Host;
  readonly drive: LogDrive;
  readonly mountPoint: string;
  /** Told once that the log is being written, and once if that ends before its time. */
  readonly say: (level: 'info' | 'warn', text: string) => void;
  /** How long the drive may take to appear. */
  readonly searchMs?: number;
  /** Between two flushes, which is what a sudden end may cost of the log. */
  readonly intervalMs?: number;
}

export interface LogDriveWriter {
  readonly sink: LogSink;
  /** Writes what is left and unmounts; gives up after `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

/** Starts at once and keeps lines until the drive is there. Lines are appended to what an earlier run left. */
export function writeLogToDrive(request: LogDriveRequest): LogDriveWriter {
  const { host, drive, mountPoint, say, intervalMs = 1000 } = request;
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  let isClosing = false;
  let wake = (): void => {};
  const sleep = (): Promise<void> =>
    new Promise((resolve) => {
      const timer = setTimeout(resolve, isClosing ? 0 : intervalMs);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  const take = (): Uint8Array => {
    const bytes = Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
    return bytes;
  };
  const run = async (): Promise<void> => {
    await mountDrive(request, () => isClosing, sleep);
    const path = `${mountPoint}/${fileName}`;
    if ((await host.status(path)) === undefined) await host.writeNew(path, new Uint8Array(), { mode: 0o600 });
    const file = await host.openWrite(path);
    let position = file.sizeBytes;
    say('info', `the log is also written to ${fileName} on ${drive.path}`);
    for (;;) {
      const isLast = isClosing;
      const bytes = take();
      if (bytes.length > 0) {
        await file.write(bytes, position);
        await file.flush();
        position += bytes.length;
      }
      if (isLast) break;
      await sleep();
    }
    await file.close();
    await host.run('umount', [mountPoint], { timeoutMs: 10_000 });
  };
  let isOver = false;
  const done = run()
    .catch((thrown: unknown) => say('warn', `the log is not written to ${drive.path}: ${messageOf(thrown)}`))
    .finally(() => {
      isOver = true;
      take();
    });
  return {
    sink: (record: LogRecord) => {
      if (isOver || pendingBytes > pendingLimitBytes) return;
      const line = new TextEncoder().encode(textLine(record));
      pending.push(line);
      pendingBytes += line.length;
    },
    close: async (timeoutMs) => {
      isClosing = true;
      wake();
      await Promise.race([done, new Promise((resolve) => setTimeout(resolve, timeoutMs).unref())]);
    },
  };
}

async function mountDrive(
  { host, drive, mountPoint, searchMs = 60_000 }: LogDriveRequest,
  isClosing: () => boolean,
  sleep: () => Promise<void>,
): Promise<void> {
  if ((await host.status(mountPoint)) === undefined) await host.makeDirectory(mountPoint, 0o700);
  // Left by a stage 2 that was started again.
  if (((await host.readText('/proc/self/mountinfo')) ?? '').includes(` ${mountPoint} `)) return;
  const endMs = performance.now() + searchMs;
  for (;;) {
    const source = await findBlockDevice(host, drive.uuid);
    if (source !== undefined) {
      const options = drive.fileSystem === 'vfat' ? ['rw', 'umask=0077', 'quiet'] : ['rw', 'noatime'];
      await host.mount({ source, target: mountPoint, fileSystem: drive.fileSystem, options });
      return;
    }
    if (isClosing() || performance.now() > endMs)
      throw new MigrateError('not-found', `no disk has the file system ${drive.uuid}`);
    await sleep();
  }
}

/** busybox's findfs; undefined where the file system is not there (yet). */
async function findBlockDevice(host: Host, uuid: string): Promise<string | undefined> {
  try {
    const { stdout } = await host.run('findfs', [`UUID=${uuid}`], { timeoutMs: 20_000 });
    return stdout.trim() || undefined;
  } catch (thrown) {
    if (thrown instanceof MigrateError && thrown.code === 'command-failed') return undefined;
    throw thrown;
  }
}
