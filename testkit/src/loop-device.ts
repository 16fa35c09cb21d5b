// Loop devices of tests that run side by side. A device that is being let go looks free for a moment and is busy then, so each step
// is tried again. A container or namespace of another test that starts just now has all our mounts too, for as long as it takes
// to leave them: a file system is clean, and its file to be looked at, when its loop device is gone, not when umount has returned.
// Needs root.
import { constants } from 'node:fs';
import { open, readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';
import { execa } from 'execa';

const attempts = 25;
const pauseMs = 200;
const releaseLimitMs = 60_000;

/** Makes a loop device of a file, by options of losetup such as `--offset=512`; the caller detaches it. */
export async function attachLoop(path: string, ...options: readonly string[]): Promise<string> {
  const { stdout } = await whileBusy(() => execa('losetup', ['--find', '--show', ...options, path]));
  return stdout;
}

/** Resolves when nothing uses it any more. */
export async function detachLoop(device: string): Promise<void> {
  const backing = await backingFile(device);
  const partitions = await readdir(`/sys/block/${basename(device)}`);
  // Those that a program told the kernel of would stay, and be in the way of the next user.
  if (partitions.some((name) => name.startsWith(`${basename(device)}p`))) await execa('partx', ['--delete', device]);
  await execa('losetup', ['--detach', device]);
  await released(device, backing);
}

export async function mountLoop(device: string, directory: string, ...options: readonly string[]): Promise<void> {
  await whileBusy(() => execa('mount', [...options, device, directory]));
}

/** Resolves when it is mounted nowhere; for a device that stays. */
export async function unmountLoop(device: string, directory: string): Promise<void> {
  await execa('umount', [directory]);
  // The kernel refuses this as long as a mount has the device.
  await whileBusy(async () => (await open(device, constants.O_RDONLY | constants.O_EXCL)).close());
}

/** Mounts a file, or what of it begins at `offsetBytes`, through a loop device that goes away with the mount. */
export async function mountImage(
  path: string,
  directory: string,
  { offsetBytes = 0, options = 'rw' }: { readonly offsetBytes?: number; readonly options?: string } = {},
): Promise<void> {
  const isReadOnly = options.split(',').includes('ro');
  const device = await attachLoop(path, `--offset=${offsetBytes}`, ...(isReadOnly ? ['--read-only'] : []));
  try {
    await mountLoop(device, directory, '-o', options);
  } finally {
    // One that is mounted goes with its last user.
    await execa('losetup', ['--detach', device]);
  }
}

/** Resolves when the image is no longer in use. */
export async function unmountImage(directory: string): Promise<void> {
  const { stdout: device } = await execa('findmnt', ['--noheadings', '--output=SOURCE', '--mountpoint', directory]);
  const backing = await backingFile(device);
  await execa('umount', [directory]);
  await released(device, backing);
}

async function backingFile(device: string): Promise<string | undefined> {
  return readFile(`/sys/block/${basename(device)}/loop/backing_file`, 'utf8').catch(() => undefined);
}

async function released(device: string, backing: string | undefined): Promise<void> {
  const endMs = Date.now() + releaseLimitMs;
  while (backing !== undefined && (await backingFile(device)) === backing) {
    if (Date.now() > endMs) throw new Error(`${device} is still in use`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function whileBusy<T>(action: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await action();
    } catch (thrown) {
      if (attempt === attempts || !/busy|temporarily unavailable/i.test(String(thrown))) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}
