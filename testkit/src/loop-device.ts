// Loop devices of tests that run side by side. A device that is being let go looks free for a moment and is busy then, and
// `mount -o loop` gives up where that happens; so each step is tried again. Needs root.
import { execa } from 'execa';

const attempts = 25;
const pauseMs = 200;

/** Makes a loop device of a file, by options of losetup such as `--offset=512`; the caller detaches it. */
export async function attachLoop(path: string, ...options: readonly string[]): Promise<string> {
  const { stdout } = await whileBusy(() => execa('losetup', ['--find', '--show', ...options, path]));
  return stdout;
}

export async function detachLoop(device: string): Promise<void> {
  await execa('losetup', ['--detach', device]);
}

export async function mountLoop(device: string, directory: string, ...options: readonly string[]): Promise<void> {
  await whileBusy(() => execa('mount', [...options, device, directory]));
}

/** Mounts a file through a loop device that goes away with the mount. */
export async function mountImage(path: string, directory: string): Promise<void> {
  const device = await attachLoop(path);
  try {
    await mountLoop(device, directory);
  } finally {
    // One that is mounted goes with its last user.
    await detachLoop(device);
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
