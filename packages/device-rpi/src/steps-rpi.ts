import {
  exchangeSector,
  type Host,
  MigrateError,
  mountOldBoot,
  type ReadingHandler,
  type StepHandlers,
  type StepOf,
  sectorSwitch,
  type UndoableHandler,
} from '@migrate/core';
import { trybootProperty } from './boot-partition.ts';

/** Mailbox property tags SET_REBOOT_FLAGS and GET_REBOOT_FLAGS (include/soc/bcm2835/raspberrypi-firmware.h, downstream). */
const setRebootFlags = '0x00038064';
const getRebootFlags = '0x00030064';
const trybootFlag = 1;

const cure = 'remove the lines "initramfs balena-migrate/…" and "cmdline=balena-migrate/…" from it, if they are there';

const setTryboot: UndoableHandler<StepOf<'set-rpi-tryboot'>> = {
  describe: () => 'tell the firmware to start with tryboot.txt once',
  apply: async (step, { host }) => {
    await rebootFlags(host, step.command, { tag: setRebootFlags, value: trybootFlag });
    if (!(await isTrybootSet(host, step.command)))
      throw new MigrateError('unsupported', 'the firmware did not keep the tryboot flag: it needs an update');
  },
  undo: async (step, _saved, { host }) => {
    if (!(await isTrybootSet(host, step.command))) return;
    await rebootFlags(host, step.command, { tag: setRebootFlags, value: 0 });
    if (await isTrybootSet(host, step.command))
      throw new MigrateError('undo-failed', 'the firmware keeps the tryboot flag: the next boot uses tryboot.txt');
  },
};

const switchConfig = sectorSwitch<StepOf<'switch-rpi-config'>>({
  describe: (step) => `change one sector of ${step.path} so that the next boot starts stage 2`,
  cure,
});

/** Init has put it back already; this proves it, or does it. */
const restoreConfig: ReadingHandler<StepOf<'restore-rpi-config'>> = {
  describe: (step) =>
    `confirm that ${step.restore.path} is as it was, so that the old system boots if anything fails from here`,
  apply: async (step, context) => {
    const { uuid, fileSystem } = step.restore;
    const root = await mountOldBoot(context, { uuid, fileSystem, options: ['rw', 'sync'] });
    try {
      const path = `${root}${step.restore.path}`;
      await exchangeSector(context.host, path, { change: step.restore, from: 'armed', to: 'original', cure });
    } finally {
      await context.host.unmount(root);
    }
  },
  undo: 'nothing-to-undo',
};

const confirmTryboot: ReadingHandler<StepOf<'confirm-rpi-tryboot'>> = {
  describe: () => 'confirm that this is a start by tryboot, so that the old system boots if anything fails from here',
  apply: async (_step, { host }) => {
    const bytes =
      (await host.status(trybootProperty)) === undefined ? new Uint8Array() : await host.readFile(trybootProperty);
    if (Buffer.from(bytes).toString('hex') !== '00000001') {
      throw new MigrateError(
        'unsupported',
        `${trybootProperty} does not say that the one-shot was used, so a failure could start stage 2 again and again`,
      );
    }
  },
  undo: 'nothing-to-undo',
};

export const rpiSteps: Pick<
  StepHandlers,
  'set-rpi-tryboot' | 'switch-rpi-config' | 'restore-rpi-config' | 'confirm-rpi-tryboot'
> = {
  'set-rpi-tryboot': setTryboot,
  'switch-rpi-config': switchConfig,
  'restore-rpi-config': restoreConfig,
  'confirm-rpi-tryboot': confirmTryboot,
};

/** Asks the firmware by vcmailbox and gives the value it answers with. */
async function rebootFlags(
  host: Host,
  command: string,
  { tag, value }: { tag: string; value: number },
): Promise<number> {
  const { stdout } = await host.run(command, [tag, '4', '0', String(value)]);
  // Size, result, tag, size of the value, size of the answer with bit 31 set where the firmware knows the tag, value.
  const [, result, , , answer, flags] = stdout.trim().split(/\s+/).map(Number);
  if (result !== 0x80000000 || answer === undefined || answer < 0x80000000 || flags === undefined) {
    throw new MigrateError('unsupported', `the firmware does not know the request ${tag}: it needs an update`);
  }
  return flags;
}

/** Firmware that does not know the flag cannot have it set. */
async function isTrybootSet(host: Host, command: string): Promise<boolean> {
  try {
    return ((await rebootFlags(host, command, { tag: getRebootFlags, value: 0 })) & trybootFlag) !== 0;
  } catch (thrown) {
    if (thrown instanceof MigrateError && thrown.code === 'unsupported') return false;
    throw thrown;
  }
}
