// A block device on this machine whose every write is logged below it: raw image, QEMU's blklogwrites, a FUSE export, a loop
// device. The loop device must not go past the page cache: it would send several writes at a time, and QEMU's export (7.2) has
// one buffer for all of them, so that one gets the data of another.
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { attachLoop, detachLoop } from '../loop-device.ts';

export interface RecordedDisk {
  readonly device: string;
  /** Detaches the device and makes the log complete. */
  close(): Promise<void>;
}

/** Records writes to `image`, which they change, in `log`, a new file. */
export async function recordDisk({ image, log }: { image: string; log: string }): Promise<RecordedDisk> {
  const mountPoint = `${log}.export`;
  await writeFile(log, '');
  await writeFile(mountPoint, '');
  const child = spawn(
    'qemu-storage-daemon',
    [
      ...['--blockdev', `driver=file,node-name=image,filename=${image}`],
      ...['--blockdev', `driver=file,node-name=log,filename=${log}`],
      ...['--blockdev', 'driver=blklogwrites,node-name=recorded,file=image,log=log,log-sector-size=512'],
      ...['--export', `type=fuse,id=export,node-name=recorded,mountpoint=${mountPoint},writable=on`],
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  await mounted(child, mountPoint);
  const device = await attachLoop(mountPoint, '--direct-io=off');
  return {
    device,
    close: async () => {
      await execa('blockdev', ['--flushbufs', device]);
      await detachLoop(device);
      const exited = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGTERM');
      await exited;
    },
  };
}

async function mounted(child: ChildProcess, mountPoint: string): Promise<void> {
  for (let round = 0; round < 100; round += 1) {
    if (child.exitCode !== null) throw new Error(`qemu-storage-daemon ended with status ${child.exitCode}`);
    const { exitCode } = await execa('mountpoint', ['-q', mountPoint], { reject: false });
    const { stdout } = await execa('cat', ['/proc/self/mountinfo']);
    if (exitCode === 0 || stdout.includes(` ${mountPoint} `)) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`${mountPoint} was not mounted within 10 s`);
}
