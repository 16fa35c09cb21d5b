import { createHash } from 'node:crypto';
import {
  createMemoryHost,
  efivarsDirectory,
  globalVariableGuid,
  type Host,
  type LifeboatRecord,
  lifeboatRecordStart,
  loadOption,
  MigrateError,
  type Plan,
  type StepContext,
  type StepOf,
  serializeLifeboatRecord,
} from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { lifeboatSteps } from './steps-lifeboat.ts';

const mebibyte = 1024 * 1024;
const diskBytes = 8 * mebibyte;
const target = '/dev/sda';
const sector = (fill: string): string => Buffer.alloc(512, fill).toString('base64');
const lifeboat: LifeboatRecord = {
  planId: 'plan',
  startByte: 4 * mebibyte,
  sizeBytes: mebibyte,
  switch: { startByte: 512, bytes: sector('switch') },
  backup: { startByte: diskBytes - 512, bytes: sector('backup') },
  partition: { number: 1, uuid: '01234567-89ab-4def-8123-456789abcdef' },
  pieces: [
    { path: 'payload.img', startByte: 4 * mebibyte + 1000, sizeBytes: 3000, sha256: '' },
    { path: 'image', startByte: 4 * mebibyte + 4000, sizeBytes: 500, sha256: '' },
  ],
  secrets: [{ startByte: 5 * mebibyte + 100, sizeBytes: 900 }],
};

function machine(changes: Partial<Host> = {}, files: Readonly<Record<string, Uint8Array>> = {}) {
  const written: string[] = [];
  const host = createMemoryHost({
    files: { [target]: Buffer.alloc(diskBytes, 'x'), ...files },
    onChange: (change) => void written.push(change),
  });
  const notes: string[] = [];
  const context = {
    host: { ...host, ...changes },
    plan: { image: { sizeBytes: 2 * mebibyte } } as Plan,
    emit: (event: { kind: string; text?: string }) => void (event.kind === 'note' && notes.push(event.text ?? '')),
    targetPath: target,
    lifeboat,
    log: () => new Uint8Array(),
  } as StepContext;
  return { host, context, notes, written };
}

const leave: StepOf<'leave-lifeboat'> = { kind: 'leave-lifeboat', id: 'leave', secrets: ['payload.img'] };

describe('switch-to-lifeboat', () => {
  it('writes the one sector, and then the backup of it, and nothing else', async () => {
    const { host, context } = machine();
    await lifeboatSteps['switch-to-lifeboat'].apply({ kind: 'switch-to-lifeboat', id: 'switch' }, context);
    const expected = Buffer.alloc(diskBytes, 'x');
    for (const { startByte, bytes } of [lifeboat.switch, lifeboat.backup ?? lifeboat.switch])
      Buffer.from(bytes, 'base64').copy(expected, startByte);
    expect(Buffer.from(await host.readFile(target, { limitBytes: diskBytes })).equals(expected)).toBe(true);
  });

  it('fails where the disk does not keep it', async () => {
    const { host, context } = machine();
    const forgetful: Host['openDisk'] = async (path) => ({ ...(await host.openDisk(path)), write: async () => {} });
    const applied = lifeboatSteps['switch-to-lifeboat'].apply(
      { kind: 'switch-to-lifeboat', id: 'switch' },
      { ...context, host: { ...host, openDisk: forgetful } },
    );
    await expect(applied).rejects.toMatchObject({ code: 'verify-mismatch' });
  });
});

describe('prove-lifeboat', () => {
  const bytes = { image: Buffer.alloc(500, 'i'), backup: Buffer.alloc(300, 'b') };
  const pieceOf = (path: 'image' | 'backup', startByte: number) => ({
    ...{ path, startByte, sizeBytes: bytes[path].length },
    sha256: createHash('sha256').update(bytes[path]).digest('hex'),
  });
  const record = { ...lifeboat, pieces: [pieceOf('image', 5 * mebibyte), pieceOf('backup', 6 * mebibyte)] };
  const step: StepOf<'prove-lifeboat'> = { kind: 'prove-lifeboat', id: 'prove', provenLater: ['image'] };

  async function proved(spoiled?: number): Promise<void> {
    const { context, host } = machine();
    const disk = await host.openDisk(target);
    await disk.write(serializeLifeboatRecord(record), record.startByte + lifeboatRecordStart);
    await disk.write(bytes.image, 5 * mebibyte);
    await disk.write(bytes.backup, 6 * mebibyte);
    if (spoiled !== undefined) await disk.write(Buffer.from('!'), spoiled);
    await disk.close();
    const plan = { ...context.plan, id: record.planId };
    await lifeboatSteps['prove-lifeboat'].apply(step, { ...context, plan, lifeboat: record });
  }

  it('finds out what the disk has not kept, and leaves to the next step what that reads anyway', async () => {
    await proved();
    await proved(5 * mebibyte + 7);
    await expect(proved(6 * mebibyte + 7)).rejects.toThrow(/\(backup\)/);
  });
});

describe('leave-lifeboat', () => {
  it('wipes what holds secrets and the end of the disk, and nothing else', async () => {
    const { host, context } = machine();
    await lifeboatSteps['leave-lifeboat'].apply(leave, context);
    const expected = Buffer.alloc(diskBytes, 'x');
    expected.fill(0, 4 * mebibyte + 1000, 4 * mebibyte + 4000);
    expected.fill(0, 5 * mebibyte + 100, 5 * mebibyte + 1000);
    expected.fill(0, diskBytes - mebibyte);
    expect(Buffer.from(await host.readFile(target, { limitBytes: diskBytes })).equals(expected)).toBe(true);
  });

  const withEntry = { ...leave, bootEntry: 'lifeboat' };
  const bootOrder = `${efivarsDirectory}/BootOrder-${globalVariableGuid}`;
  const bootEntry = `${efivarsDirectory}/Boot0000-${globalVariableGuid}`;
  const option = loadOption({
    description: withEntry.bootEntry,
    filePath: '\\a.efi',
    partition: { number: 1, startLba: 1, sectors: 1, uuid: lifeboat.partition.uuid },
  });
  const files = {
    [bootOrder]: Uint8Array.from([7, 0, 0, 0, 0, 0, 1, 0]),
    [bootEntry]: Uint8Array.from([7, 0, 0, 0, ...option]),
  };
  const gone = (what: string) => () => Promise.reject(new MigrateError('write-failed', `${what} is gone`));

  it('never fails a migration that is complete, and removes the boot entry of a disk that fails', async () => {
    const { host, context, notes } = machine({ openDisk: gone('the disk') }, files);
    await lifeboatSteps['leave-lifeboat'].apply(withEntry, context);
    expect(notes).toEqual([
      expect.stringMatching(/secrets.*the disk is gone/),
      expect.stringMatching(/end of the disk.*the disk is gone/),
    ]);
    expect(await host.status(bootEntry)).toBeUndefined();
  });

  it.each([
    ['what holds secrets', 4 * mebibyte + 1000, /secrets/],
    ['the end of the disk', diskBytes - mebibyte, /end of the disk/],
  ])('does all the rest where %s cannot be wiped', async (_, failing, warning) => {
    const { host, context, notes } = machine({}, files);
    const openDisk: Host['openDisk'] = async (path) => {
      const disk = await host.openDisk(path);
      const write: typeof disk.write = (bytes, startByte) =>
        startByte === failing ? gone('a sector')() : disk.write(bytes, startByte);
      return { ...disk, write };
    };
    await lifeboatSteps['leave-lifeboat'].apply(withEntry, { ...context, host: { ...host, openDisk } });
    expect(notes).toEqual([expect.stringMatching(warning)]);
    expect(await host.status(bootEntry)).toBeUndefined();
    const bytes = Buffer.from(await host.readFile(target, { limitBytes: diskBytes }));
    const isWiped = (startByte: number, endByte: number) =>
      !bytes.subarray(startByte, endByte).some((byte) => byte !== 0);
    expect(isWiped(5 * mebibyte + 100, 5 * mebibyte + 1000)).toBe(true);
    expect(isWiped(4 * mebibyte + 1000, 4 * mebibyte + 4000)).toBe(failing !== 4 * mebibyte + 1000);
    expect(isWiped(diskBytes - mebibyte, diskBytes)).toBe(failing !== diskBytes - mebibyte);
  });

  it('wipes all the same where the firmware keeps the boot entry', async () => {
    const { host, context, notes } = machine({ removeVariableFile: gone('the firmware') }, files);
    await lifeboatSteps['leave-lifeboat'].apply(withEntry, context);
    expect(notes).toEqual([expect.stringMatching(/boot entry.*the firmware is gone/)]);
    const bytes = Buffer.from(await host.readFile(target, { limitBytes: diskBytes }));
    expect(bytes.subarray(diskBytes - mebibyte).some((byte) => byte !== 0)).toBe(false);
  });
});
