// What GRUB would start from the disk of a machine whose power is cut in stage 1. GRUB's own file system code reads the disk as it
// is then: it replays no journal.
import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { countStates, examineStates } from '../crash/disk-states.ts';
import type { RecordedMigration } from './recorded-migration.ts';

/** So many states are looked at, evenly from all. */
const sampledStates = 60;
const stage2Path = '/boot/balena-migrate/stage2.img';

/** Counts what the states of stage 1 boot: "old", "stage 2", or "bricked: …". */
export async function armingModel(migration: RecordedMigration): Promise<Readonly<Record<string, number>>> {
  const { base, log, stage1From, stage2From, directory } = migration;
  const work = join(directory, 'stage-1.state');
  const states = { base, log, work, unitBytes: 512, from: stage1From, to: stage2From };
  const total = await countStates(states);
  // The last state is an armed machine that was shut down in order.
  let whole = '';
  await examineStates({ ...states, chooses: (_, number) => number === total }, (state) =>
    state.materialise(async (disk) => {
      whole = digestOf(await readByGrub(migration, disk, stage2Path));
      return 'armed';
    }),
  );
  const judge = await grubModel(migration, whole);
  const stride = Math.max(1, Math.floor(total / sampledStates));
  const chooses = (_: unknown, number: number): boolean => number % stride === 0 || number === total;
  try {
    return await examineStates({ ...states, chooses }, (state) => state.materialise(judge));
  } finally {
    await rm(work);
  }
}

/** `stage2Digest`: of the initramfs of stage 2 when it is whole. */
async function grubModel(
  migration: RecordedMigration,
  stage2Digest: string,
): Promise<(disk: string) => Promise<string>> {
  const { base } = migration;
  const menuPath = '/boot/grub/grub.cfg';
  const menu = (await readByGrub(migration, base, menuPath))?.toString() ?? '';
  const needed = [menuPath, ...[/\blinux\s+(\S+)/, /\binitrd\s+(\S+)/].map((word) => word.exec(menu)?.[1] ?? '')];
  const wanted = await Promise.all(needed.map(async (path) => digestOf(await readByGrub(migration, base, path))));
  return async (disk) => {
    const read = (path: string): Promise<Buffer | undefined> => readByGrub(migration, disk, path);
    for (const [index, path] of needed.entries())
      if (digestOf(await read(path)) !== wanted[index]) return `bricked: ${path} is not what it was`;
    const environment = (await read('/boot/grub/grubenv'))?.toString('latin1') ?? '';
    if (!environment.startsWith('# GRUB Environment Block\n')) return 'bricked: the environment block is damaged';
    const entry = /^next_entry=(.+)$/m.exec(environment)?.[1];
    if (entry === undefined) return 'old';
    const custom = (await read('/boot/grub/custom.cfg'))?.toString() ?? '';
    // GRUB takes the default where there is no such entry.
    if (!custom.includes(entry)) return 'old';
    return digestOf(await read(stage2Path)) === stage2Digest
      ? 'stage 2'
      : 'bricked: GRUB starts an initramfs that is not whole';
  };
}

/** Undefined where GRUB cannot. */
async function readByGrub({ shape }: RecordedMigration, disk: string, path: string): Promise<Buffer | undefined> {
  const partition = shape === 'uefi' ? '(loop0,gpt2)' : '(loop0,msdos1)';
  const { exitCode, stdout } = await execa('grub-fstest', [disk, 'cat', `${partition}${path}`], {
    encoding: 'buffer',
    reject: false,
  });
  return exitCode === 0 ? Buffer.from(stdout) : undefined;
}

function digestOf(bytes: Buffer | undefined): string {
  return bytes === undefined ? 'missing' : createHash('sha256').update(bytes).digest('hex');
}
