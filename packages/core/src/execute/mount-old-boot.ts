import type { StepContext } from './execute.ts';

/** Mounts the file system with the old boot files in stage 2, wherever its disk is now, and gives the directory. The caller unmounts it. */
export async function mountOldBoot(
  { host, ramDirectory }: StepContext,
  { uuid, fileSystem, options }: { uuid: string; fileSystem: string; options: readonly string[] },
): Promise<string> {
  if (ramDirectory === undefined) throw new Error('this step runs in stage 2 only');
  const { stdout } = await host.run('findfs', [`UUID=${uuid}`]);
  const target = `${ramDirectory}/old-boot`;
  if ((await host.status(target)) === undefined) await host.makeDirectory(target, 0o700);
  await host.mount({ source: stdout.trim(), target, fileSystem, options });
  return target;
}
