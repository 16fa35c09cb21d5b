import {
  findDisk,
  type Host,
  inspectDisks,
  MigrateError,
  mountOldBoot,
  type ReadingHandler,
  type StepContext,
  type StepHandlers,
  type StepOf,
  sectorSwitch,
  type UbootFlag,
  type UndoableHandler,
} from '@migrate/core';
import { flagMagic, flagSectorBytes } from './boot-script.ts';

const cleared = new Uint8Array(flagSectorBytes);
const set = Uint8Array.from([...flagMagic, ...cleared.subarray(flagMagic.length)]);

const setFlag: UndoableHandler<StepOf<'set-uboot-flag'>> = {
  describe: (step) =>
    step.flag.place === 'gap'
      ? `tell U-Boot to start stage 2 once (the free sector ${step.flag.offsetBytes / flagSectorBytes} of ${step.path})`
      : `tell U-Boot to start stage 2 once (${step.path})`,
  apply: (step, { host }) => exchangeFlag(host, step, { from: cleared, to: set }),
  undo: (step, _saved, { host }) => exchangeFlag(host, step, { from: set, to: cleared }),
};

const cure = 'remove the lines that begin with bmhook= and uenvcmd=run bmhook, and name its old command uenvcmd again';

const switchEnvironment = sectorSwitch<StepOf<'switch-uboot-environment'>>({
  describe: (step) => `change one sector of ${step.path} so that U-Boot looks whether stage 2 is to start`,
  cure,
});

const confirmCleared: ReadingHandler<StepOf<'confirm-uboot-flag-cleared'>> = {
  describe: () => 'confirm that U-Boot has cleared its flag, so that the old system boots if anything fails from here',
  apply: async (step, context) => {
    const sector = await readFlagInStage2(step.flag, context);
    if (!isSame(sector, cleared)) {
      throw new MigrateError(
        'unsupported',
        'U-Boot did not clear the flag that started stage 2, so a failure would start it again and again',
      );
    }
  },
  undo: 'nothing-to-undo',
};

export const beagleSteps: Pick<
  StepHandlers,
  'set-uboot-flag' | 'switch-uboot-environment' | 'confirm-uboot-flag-cleared'
> = {
  'set-uboot-flag': setFlag,
  'switch-uboot-environment': switchEnvironment,
  'confirm-uboot-flag-cleared': confirmCleared,
};

/** Writes one sector, where it is what it was; does nothing where it is already what it shall be. */
async function exchangeFlag(
  host: Host,
  { flag, path }: StepOf<'set-uboot-flag'>,
  { from, to }: { from: Uint8Array; to: Uint8Array },
): Promise<void> {
  if (flag.place === 'file' && (await host.status(path)) === undefined) {
    if (to === cleared) return;
    throw new MigrateError('busy', `${path} was removed by someone else`);
  }
  if (flag.place === 'gap') findDisk(await inspectDisks(host), flag.disk);
  const offset = flag.place === 'gap' ? flag.offsetBytes : 0;
  const found = await readSector(host, path, offset);
  if (isSame(found, to)) return;
  if (!isSame(found, from)) {
    throw new MigrateError('busy', `sector ${offset / flagSectorBytes} of ${path} was written by someone else`);
  }
  const disk = await host.openWrite(path);
  try {
    await disk.write(to, offset);
    await disk.flush();
  } finally {
    await disk.close();
  }
  if (!isSame(await readSector(host, path, offset), to)) {
    throw new MigrateError('verify-mismatch', `${path} did not keep what was written`);
  }
}

/** The flag as U-Boot left it, wherever its disk or partition is now. */
async function readFlagInStage2(flag: UbootFlag, context: StepContext): Promise<Uint8Array> {
  const { host } = context;
  if (flag.place === 'gap') {
    return readSector(host, findDisk(await inspectDisks(host), flag.disk).path, flag.offsetBytes);
  }
  const root = await mountOldBoot(context, { uuid: flag.uuid, fileSystem: flag.fileSystem, options: ['ro'] });
  try {
    return await readSector(host, `${root}${flag.path}`, 0);
  } finally {
    await host.unmount(root);
  }
}

async function readSector(host: Host, path: string, offsetBytes: number): Promise<Uint8Array> {
  const reader = await host.openRead(path);
  try {
    const bytes = new Uint8Array(flagSectorBytes);
    return bytes.subarray(0, await reader.read(bytes, offsetBytes));
  } finally {
    await reader.close();
  }
}

function isSame(one: Uint8Array, other: Uint8Array): boolean {
  return Buffer.from(one).equals(Buffer.from(other));
}
