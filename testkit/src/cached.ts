import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/**
 * The directory that `build` filled, made once for each value of `inputs`. It appears under its name only when complete, so
 * that an interrupted or concurrent build does no harm. Callers must not change it.
 */
export async function cached(
  name: string,
  inputs: unknown,
  build: (directory: string) => Promise<void>,
): Promise<string> {
  const root = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'migrate-testkit');
  const key = createHash('sha256').update(JSON.stringify(inputs)).digest('hex').slice(0, 16);
  const finished = join(root, `${name}-${key}`);
  if (await isThere(finished)) return finished;
  await mkdir(root, { recursive: true });
  const release = await takeLock(join(root, `${name}-${key}.lock`));
  if (await isThere(finished)) {
    await release();
    return finished;
  }
  const unfinished = await mkdtemp(join(root, `${name}-${key}.new-`));
  try {
    await build(unfinished);
    await rename(unfinished, finished).catch(async (thrown: unknown) => {
      if (!(await isThere(finished))) throw thrown;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
    await release();
  }
  return finished;
}

/** Waits until no other living process builds the same thing: a build of minutes is not done twice side by side. */
async function takeLock(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      await writeFile(path, String(process.pid), { flag: 'wx' });
      return () => rm(path, { force: true });
    } catch {
      const holder = Number(await readFile(path, 'utf8').catch(() => ''));
      if (holder > 0 && !(await isThere(`/proc/${holder}`))) await rm(path, { force: true });
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
