import { createReadStream } from 'node:fs';
import { copyFile, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { copyState, judgeStage2 } from '../lifeboat/judge-stage2.ts';
import { runWithCuts } from '../lifeboat/power-cuts.ts';
import { findSwitch, type RecordedStage2 } from '../lifeboat/recorded-migration.ts';
import { checkMigrated } from '../road/road-test.ts';
import { startWindowsPc } from './windows-pc.ts';
import {
  configureWindows,
  deviceType,
  type RecordedStart,
  startWindowsRoad,
  traces,
  type WindowsRoad,
} from './windows-road.ts';

describe('a machine with Windows 10 and UEFI', () => {
  let road: WindowsRoad;
  let recorded: RecordedStage2 & Pick<RecordedStart, 'variablesAtSwitch'>;
  /** A state of the disk in the midst of flashing. */
  let cut: string | undefined;
  beforeAll(async () => {
    road = await startWindowsRoad();
    await configureWindows(road, ['reboot: 1', 'all_wifis: true', 'require_grade: A'], 'quiet');
  });
  afterAll(() => road?.close());

  it('gets with the bundle what Windows cannot lend', async () => {
    const text = (name: string) => readFile(join(road.bundle, name), 'latin1');
    // PE, as every program of Windows; and a bzImage (Documentation/x86/boot.rst, offset 0x202).
    for (const program of ['windows/node.exe', 'boot/grubx64.efi', 'boot/vmlinuz'])
      expect((await text(program)).slice(0, 2)).toBe('MZ');
    expect((await text('boot/vmlinuz')).slice(0x202, 0x206)).toBe('HdrS');
    const launcher = await text('migrate.cmd');
    expect(
      launcher
        .split('\n')
        .slice(0, -1)
        .every((line) => line.endsWith('\r')),
    ).toBe(true);
    const drivers = (await text('boot/modules/order')).trimEnd().split('\n');
    expect(drivers).toEqual(expect.arrayContaining(['nvme', 'ahci', 'virtio_blk', 'vmd', 'vfat', 'ext4', 'efivarfs']));
    const files = (await readdir(join(road.bundle, 'boot/modules'))).sort();
    expect(files).toEqual([...drivers.map((name) => `${name}.ko`), 'order'].sort());
  });

  it('is not changed by a plan that is only shown', async () => {
    const before = await traces(road.disk);
    const { plan, said } = await road.pretend();
    expect(plan?.bootManager, said).toBe('windows-boot-next');
    expect(said).not.toContain('canary-wifi-password');
    expect(await traces(road.disk)).toEqual(before);
    expect(road.windows.asked.filter((operation) => !/^(read|export)-/.test(operation))).toEqual([]);
  });

  it('becomes balenaOS by itself, with its networks', async () => {
    expect((await road.migrate()).said).not.toContain('canary-');
    expect(road.windows.asked.at(-1)).toBe('restart');
    const { machine, ...started } = await road.restartRecorded();
    try {
      const { image, disk, directory } = road;
      await checkMigrated(
        { machine, image, disk: disk.disk, isWired: true },
        { deviceType, firmware: 'uefi', hostname: 'BROWNFIELD', grade: 'A' },
      );
      const { base, log, variablesAtSwitch } = started;
      const where = { log, after: disk.disk, way: 'gpt' as const };
      const switched = await findSwitch({ ...where, stage1From: 0, said: machine.log() });
      // The payload lay there in the clear.
      const secret = 'canary-wifi-password';
      const { size: fromByte } = await stat(image.raw);
      expect([await holds(base, secret, fromByte), await holds(disk.disk, secret, fromByte)]).toEqual([true, false]);
      recorded = { ...{ image, base, directory, variablesAtSwitch }, ...where, ...switched };
    } finally {
      await machine.kill();
    }
  });

  it('boots Windows, the lifeboat or the whole new system after a power cut at any write of stage 2', async () => {
    const { counts, bricked, judged } = await judgeStage2(recorded);
    console.log(`from Windows, cut in stage 2: ${JSON.stringify(counts)}`);
    expect(bricked).toEqual([]);
    expect(counts.lifeboat).toBeGreaterThan(50);
    expect(counts.new).toBeGreaterThan(0);
    expect(counts.old).toBeGreaterThan(0);
    cut = judged.filter(({ said }) => said === 'lifeboat').at(judged.length / 4)?.name;
  });

  it('and ends as the new system where the power is cut while the disk is flashed', async () => {
    const { directory, variablesAtSwitch: variables } = recorded;
    const disk = join(directory, 'cut.raw');
    await copyState(recorded, { to: disk, isWanted: ({ name }) => name === cut });
    const { end, log } = await runWithCuts({ firmware: 'uefi', memoryMib: 1024, disk, variables }, []);
    expect(log).toMatch(/BdsDxe: starting Boot\w{4} "balena migrate lifeboat"/);
    expect(log).toContain('started from the lifeboat');
    expect(end).toBe('new-complete');
  });

  it('and is found by a firmware that has lost its variables', async () => {
    await copyFile('/usr/share/OVMF/OVMF_VARS_4M.fd', road.disk.variables);
    const machine = await startWindowsPc(road.disk);
    try {
      await machine.waitFor(/NEWOS-BOOTED genericx86-64-ext uefi/);
    } finally {
      await machine.kill();
    }
  });
});

/** Whether a file has that text anywhere from a byte on. */
async function holds(path: string, text: string, fromByte: number): Promise<boolean> {
  let before = Buffer.alloc(0);
  for await (const chunk of createReadStream(path, { start: fromByte, highWaterMark: 4 * 1024 * 1024 })) {
    const bytes = Buffer.concat([before, chunk as Buffer]);
    if (bytes.includes(text)) return true;
    before = bytes.subarray(-text.length);
  }
  return false;
}
