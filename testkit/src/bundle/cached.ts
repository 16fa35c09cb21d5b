import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises';
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
  const unfinished = await mkdtemp(join(root, `${name}-${key}.new-`));
  try {
    await build(unfinished);
    await rename(unfinished, finished).catch(async (thrown: unknown) => {
      if (!(await isThere(finished))) throw thrown;
    });
  } finally {
    await rm(unfinished, { recursive: true, force: true });
  }
  return finished;
}

async function isThere(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
