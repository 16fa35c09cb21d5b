// A Beagle on QEMU's "virt" machine: real U-Boot, the vendor's memory addresses, 512 MiB that Linux sees, an SD slot and eMMC.
import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PoweredMachine, powerOn, writeCounts } from '../emulator.ts';
import type { Machine } from '../machine.ts';
import { serialLog } from '../serial-log.ts';
import { serialShell } from '../serial-shell.ts';
import type { Environment } from './beagle-environment.ts';
import { machineArguments, writeEnvironmentFlash } from './beagle-firmware.ts';

export interface BeagleOptions {
  /** What the board starts with: see romEnvironment. */
  readonly firmware: Environment;
  /** Images of a size that is a power of two, as SD cards have. */
  readonly sd?: string;
  readonly emmc?: string;
  /** Of the images; qcow2 where it is left out. */
  readonly format?: 'raw' | 'qcow2';
  /** Media that take no writes; Linux does not see them. */
  readonly isReadOnly?: boolean;
  /** A file, empty or one that is gone on with, for a log of what is written to the eMMC: see write-log.ts. */
  readonly emmcLog?: string;
}

export interface EmulatedBeagle extends Machine {
  /** Stands still, with all that was written on its media, while something is done. */
  paused(action: () => Promise<void>): Promise<void>;
  /** Types at the serial console. */
  type(text: string): void;
  /** Pulls the plug, and puts it back when that is done. */
  cutPower(meanwhile: () => Promise<void>): void;
}

const firmware = '/usr/lib/u-boot/qemu_arm/u-boot.bin';
/** Powers a board on. */
export async function startEmulatedBeagle(options: BeagleOptions): Promise<EmulatedBeagle> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-beagle-'));
  await writeEnvironmentFlash(join(directory, 'environment'), options.firmware);
  const errors: string[] = [];
  const log = serialLog(() => errors.join(''));
  const start = (): Promise<PoweredMachine> =>
    powerOn({ program: 'qemu-system-arm', args: qemuArguments(options, directory), directory, serial: log, errors });
  let current = await start();
  const type = (text: string): void => current.type(text);
  const shell = serialShell({ log, send: type });
  let isKilled = false;

  let whileUnplugged: (() => Promise<void>) | undefined;
  const isSwitchedOn = async (): Promise<boolean> => {
    const end = await current.ended;
    const action = whileUnplugged;
    whileUnplugged = undefined;
    await action?.();
    return !isKilled && (end === 'restart' || action !== undefined);
  };
  const life = async (): Promise<void> => {
    while (await isSwitchedOn()) {
      shell.restarted();
      current = await start();
      if (isKilled) current.cutPower();
    }
  };
  const exited = life()
    .catch((thrown: unknown) => void errors.push(String(thrown)))
    .then(async () => {
      log.end();
      await rm(directory, { recursive: true, force: true });
    });

  return {
    log: log.text,
    onSerial: log.onText,
    waitFor: log.waitFor,
    ...shell,
    type,
    writeCounts: () => writeCounts(current.qmp),
    paused: async (action) => {
      await current.qmp.send('stop');
      await action();
      await current.qmp.send('cont');
    },
    kill: async () => {
      isKilled = true;
      current.cutPower();
      await exited;
    },
    cutPower: (meanwhile) => {
      whileUnplugged = meanwhile;
      current.cutPower();
    },
    exited,
  };
}

/**
 * Each medium is there twice: U-Boot for this machine has a driver for virtio disks, Linux is left without one and sees an SD
 * card, mmcblk0 in the slot and mmcblk1 for the eMMC. 1536 MiB from 0x40000000 end at 0xa0000000; a kernel that is started at
 * 0x82000000 uses nothing below 0x80000000, which leaves it the 512 MiB of a board, at the board's addresses.
 */
function qemuArguments(options: BeagleOptions, directory: string): string[] {
  const media = [options.sd, options.emmc];
  const card = (index: number): string[] => [
    '-device',
    `sd-card,drive=medium${index},bus=/gpex-pcihost/pcie.0/host${index}/sd-bus`,
  ];
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none', ...machineArguments, '-accel', 'tcg'],
    ...['-serial', 'stdio', '-bios', firmware],
    ...['-drive', `if=pflash,unit=1,format=raw,readonly=on,file=${directory}/environment`],
    ...media.flatMap((path, index) => [
      ...blockNode(path, index, options),
      ...['-device', `virtio-blk-pci,drive=medium${index},addr=${2 + index},share-rw=on`],
      ...['-device', `sdhci-pci,addr=${4 + index},id=host${index}`],
      ...(path === undefined || options.isReadOnly === true ? [] : card(index)),
    ]),
  ];
}

/** An empty slot is a medium without contents for U-Boot, whose numbers would move otherwise, and no card for Linux. */
function blockNode(path: string | undefined, index: number, { format, isReadOnly, emmcLog }: BeagleOptions): string[] {
  if (path === undefined)
    return ['-blockdev', `driver=null-co,read-zeroes=on,read-only=on,size=65536,node-name=medium${index}`];
  const common = `read-only=${isReadOnly === true ? 'on' : 'off'},cache.no-flush=on`;
  const log = index === 1 ? emmcLog : undefined;
  const name = log === undefined ? `medium${index}` : `image${index}`;
  return [
    ...['-blockdev', `driver=file,filename=${path},node-name=file${index},${common}`],
    ...['-blockdev', `driver=${format ?? 'qcow2'},file=file${index},node-name=${name},${common}`],
    ...(log === undefined ? [] : logNode(log, index)),
  ];
}

/** The log counts each write when it is made, so that it can be gone on with when the power was cut. */
function logNode(log: string, index: number): string[] {
  const begins = statSync(log).size === 0 ? 'log-sector-size=512' : 'log-append=on';
  const options = `log-super-update-interval=1,${begins}`;
  return [
    ...['-blockdev', `driver=file,filename=${log},node-name=log${index}`],
    ...['-blockdev', `driver=blklogwrites,file=image${index},log=log${index},${options},node-name=medium${index}`],
  ];
}
