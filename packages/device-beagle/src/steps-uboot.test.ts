import { createMemoryHost, type MemoryHost, type Plan, type StepContext, type UbootFlag } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { beagleSteps } from './steps-uboot.ts';

const gapBytes = 4096;
const disk = '/dev/mmcblk1';
const inGap: UbootFlag = {
  place: 'gap',
  offsetBytes: 1024,
  disk: { pathInStage1: disk, sizeBytes: 2 * gapBytes, logicalSectorSize: 512, serial: '0x1234' },
};
const inFile: UbootFlag = { place: 'file', uuid: '4D4C-1A2B', fileSystem: 'vfat', path: '/bmigrate.flg' };

function hostWith(name: string, serial = '0x1234', onChange?: (change: string) => void): MemoryHost {
  return createMemoryHost({
    files: {
      [`/dev/${name}`]: new Uint8Array(2 * gapBytes),
      [`/sys/block/${name}/size`]: '16\n',
      [`/sys/block/${name}/queue/logical_block_size`]: '512\n',
      [`/sys/block/${name}/device/serial`]: `${serial}\n`,
      '/boot/uboot/bmigrate.flg': new Uint8Array(512),
      '/boot/uboot/uEnv.txt': '# one comment here\na=1\n',
    },
    run: async () => ({ stdout: '/dev/mmcblk0p1\n', stderr: '' }),
    ...(onChange === undefined ? {} : { onChange }),
  });
}

function contextOf(host: MemoryHost): StepContext {
  return { host, plan: {} as Plan, emit: () => {}, log: () => new Uint8Array(), ramDirectory: '/ram' };
}

function undoable<K extends 'set-uboot-flag' | 'switch-uboot-environment'>(kind: K) {
  const handler = beagleSteps[kind];
  if (!('undo' in handler) || handler.undo === 'nothing-to-undo') throw new Error('arming must be undoable');
  return { ...handler, undo: handler.undo };
}

describe.each([
  { what: 'a free sector', flag: inGap, path: disk, offset: 1024 },
  { what: 'a file', flag: inFile, path: '/boot/uboot/bmigrate.flg', offset: 0 },
])('the flag in $what', ({ flag, path, offset }) => {
  const step = { kind: 'set-uboot-flag', id: 'arm', flag, path } as const;
  const handler = undoable('set-uboot-flag');
  const sector = async (host: MemoryHost): Promise<string> =>
    Buffer.from(await host.readFile(path)).toString('latin1', offset, offset + 512);

  it('is set, and cleared to the byte', async () => {
    const host = hostWith('mmcblk1');
    const before = host.snapshot();
    await handler.apply(step, contextOf(host));
    expect(await sector(host)).toBe('bmig'.padEnd(512, '\0'));
    await handler.apply(step, contextOf(host));
    await handler.undo(step, null, contextOf(host));
    expect(host.snapshot()).toEqual(before);
    await handler.undo(step, null, contextOf(host));
    expect(host.snapshot()).toEqual(before);
  });

  it('is one write of one sector', async () => {
    const changes: string[] = [];
    const host = hostWith('mmcblk1', '0x1234', (change) => changes.push(change));
    await handler.apply(step, contextOf(host));
    expect(changes).toEqual(['write bytes', 'flush']);
  });

  it('is not written over what somebody else wrote', async () => {
    const host = hostWith('mmcblk1');
    const writer = await host.openWrite(path);
    await writer.write(Buffer.from('x'), offset + 100);
    const before = host.snapshot();
    await expect(handler.apply(step, contextOf(host))).rejects.toThrow(/by someone else/);
    await expect(handler.undo(step, null, contextOf(host))).rejects.toThrow(/by someone else/);
    expect(host.snapshot()).toEqual(before);
  });
});

describe('the flag', () => {
  const handler = undoable('set-uboot-flag');
  const confirm = beagleSteps['confirm-uboot-flag-cleared'];
  const step = { kind: 'set-uboot-flag', id: 'arm', flag: inGap, path: disk } as const;

  it('is not written to another disk of the same name', async () => {
    const host = hostWith('mmcblk1', '0x9999');
    const before = host.snapshot();
    await expect(handler.apply(step, contextOf(host))).rejects.toMatchObject({ code: 'wrong-disk' });
    expect(host.snapshot()).toEqual(before);
  });

  it('is looked for in stage 2 on the same disk, whatever its name is there', async () => {
    const host = hostWith('mmcblk7');
    const check = { kind: 'confirm-uboot-flag-cleared', id: 'confirm', flag: inGap } as const;
    await confirm.apply(check, contextOf(host));
    const writer = await host.openWrite('/dev/mmcblk7');
    await writer.write(Buffer.from('bmig'), 1024);
    await expect(confirm.apply(check, contextOf(host))).rejects.toThrow(/did not clear/);
  });

  it('is gone with its file, which undo takes for cleared', async () => {
    const host = hostWith('mmcblk1');
    await host.removeFile('/boot/uboot/bmigrate.flg');
    const inFileStep = { kind: 'set-uboot-flag', id: 'arm', flag: inFile, path: '/boot/uboot/bmigrate.flg' } as const;
    await handler.undo(inFileStep, null, contextOf(host));
    await expect(handler.apply(inFileStep, contextOf(host))).rejects.toThrow(/removed/);
  });
});

describe('the environment on FAT', () => {
  const path = '/boot/uboot/uEnv.txt';
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  const change = { offsetBytes: 0, original: base64('# one comment here\n'), armed: base64('b=2\n##############\n') };
  const step = { kind: 'switch-uboot-environment', id: 'hook', path, change } as const;
  const handler = undoable('switch-uboot-environment');

  it('is changed in place and put back with its time', async () => {
    const host = hostWith('mmcblk1');
    const before = host.snapshot();
    const saved = (await handler.prepare?.(step, contextOf(host))) ?? null;
    await handler.apply(step, contextOf(host));
    expect(await host.readText(path)).toBe('b=2\n##############\na=1\n');
    await handler.undo(step, saved, contextOf(host));
    expect(host.snapshot()).toEqual(before);
  });

  it('keeps what somebody else changed elsewhere in it', async () => {
    const host = hostWith('mmcblk1');
    const saved = (await handler.prepare?.(step, contextOf(host))) ?? null;
    await handler.apply(step, contextOf(host));
    await host.overwriteInPlace(path, Buffer.from('b=2\n##############\na=9\n'));
    await handler.undo(step, saved, contextOf(host));
    expect(await host.readText(path)).toBe('# one comment here\na=9\n');
  });
});
