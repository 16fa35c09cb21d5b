import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import type { LifeboatRecord } from '../lifeboat/lifeboat-record.ts';
import { efivarsDirectory, globalVariableGuid, loadOption } from '../machine/uefi.ts';
import type { StepOf } from '../plan/plan.ts';
import type { StepContext } from './execute.ts';
import { removeUefiBootEntry, uefiSteps } from './steps-uefi.ts';

const step: StepOf<'set-uefi-boot-entry'> = {
  kind: 'set-uefi-boot-entry',
  id: 'set-uefi-boot-entry',
  description: 'balenaOS',
  filePath: '\\EFI\\BOOT\\BOOTX64.EFI',
  partitionLabel: 'resin-boot',
};
const uuid = '01234567-89ab-4def-8123-456789abcdef';
const entry = (description: string): Uint8Array =>
  loadOption({ description, filePath: '\\old.efi', partition: { number: 1, startLba: 2048, sectors: 100, uuid } });
const variable = (data: Uint8Array): Uint8Array => Uint8Array.from([7, 0, 0, 0, ...data]);
const pathOf = (name: string): string => `${efivarsDirectory}/${name}-${globalVariableGuid}`;

function machine(names: Readonly<Record<string, Uint8Array>>) {
  const files = Object.fromEntries(Object.entries(names).map(([name, data]) => [pathOf(name), variable(data)]));
  const host = createMemoryHost({
    files,
    onChange: (change) => {
      // As efivarfs does for a name without a GUID at its end.
      const path = change.slice(change.indexOf('/'));
      if (path.startsWith(efivarsDirectory) && !path.endsWith(globalVariableGuid)) throw new Error(`EINVAL: ${change}`);
    },
  });
  const partition = { number: 1, startByte: 4 * 1024 ** 2, sizeBytes: 1024 ** 2, type: '', uuid, bootable: false };
  const plan = {
    target: { logicalSectorSize: 512 },
    image: { labels: { 'resin-boot': 0 }, table: { kind: 'gpt', id: '', partitions: [partition] } },
  };
  // The handler takes nothing else of the context.
  return { host, context: { host, plan } as unknown as StepContext };
}

const handler = uefiSteps['set-uefi-boot-entry'];

describe('set-uefi-boot-entry', () => {
  it.each([
    ['where there was none', { BootOrder: Uint8Array.from([1, 0]), Boot0001: entry('debian') }],
    [
      'where an earlier one of ours stood',
      { BootOrder: Uint8Array.from([1, 0, 3, 0]), Boot0001: entry('debian'), Boot0003: entry('balenaOS') },
    ],
    [
      'where an earlier one of ours was out of the order',
      { BootOrder: Uint8Array.from([1, 0]), Boot0001: entry('debian'), Boot0000: entry('balenaOS') },
    ],
  ])('puts the new system first, and is taken back to the byte %s', async (_, names) => {
    const { host, context } = machine(names as Readonly<Record<string, Uint8Array>>);
    const before = host.snapshot();
    const saved = (await handler.prepare?.(step, context)) ?? null;
    await handler.apply(step, context);
    const order = (await host.readFile(pathOf('BootOrder'))).subarray(4);
    const first = `Boot${Buffer.from(order).readUInt16LE(0).toString(16).padStart(4, '0').toUpperCase()}`;
    expect(Buffer.from(await host.readFile(pathOf(first))).toString('utf16le')).toContain('BOOTX64.EFI');
    if (!('undo' in handler) || typeof handler.undo !== 'function') throw new Error('it can be undone');
    await handler.undo(step, saved, context);
    expect(host.snapshot()).toEqual(before);
  });
});

describe('confirm-uefi-boot-next-cleared', () => {
  const confirm = uefiSteps['confirm-uefi-boot-next-cleared'];
  const own = { kind: 'confirm-uefi-boot-next-cleared', id: 'confirm-one-shot' } as const;

  it('leaves a firmware alone that has spent it', async () => {
    const { host, context } = machine({ BootOrder: Uint8Array.from([1, 0]) });
    const before = host.snapshot();
    await confirm.apply(own, context);
    expect(host.snapshot()).toEqual(before);
  });

  it('spends it where the firmware has not', async () => {
    const { host, context } = machine({ BootOrder: Uint8Array.from([1, 0]), BootNext: Uint8Array.from([2, 0]) });
    await confirm.apply(own, context);
    expect(await host.status(pathOf('BootNext'))).toBeUndefined();
    expect(await host.status(pathOf('BootOrder'))).toBeDefined();
  });

  it('fails where it stays', async () => {
    const { host, context } = machine({ BootNext: Uint8Array.from([2, 0]) });
    const stubborn = { ...host, removeVariableFile: async () => {} };
    await expect(confirm.apply(own, { ...context, host: stubborn })).rejects.toThrow('the firmware keeps BootNext');
  });
});

describe("a lifeboat's boot entry", () => {
  const own: StepOf<'set-uefi-boot-entry'> = {
    kind: 'set-uefi-boot-entry',
    id: 'set-lifeboat-boot-entry',
    description: 'lifeboat',
    filePath: '\\EFI\\BOOT\\BOOTX64.EFI',
  };

  it('leads to the place on the disk that its record tells, and is removed without a trace', async () => {
    const { host, context } = machine({ BootOrder: Uint8Array.from([1, 0]), Boot0001: entry('debian') });
    const before = host.snapshot();
    const lifeboat = { startByte: 8 * 1024 ** 2, sizeBytes: 4 * 1024 ** 2, partition: { number: 1, uuid } };
    await handler.apply(own, { ...context, lifeboat: lifeboat as unknown as LifeboatRecord });
    const found = (await host.readFile(pathOf('Boot0000'))).subarray(4);
    const partition = { number: 1, startLba: 16_384, sectors: 8192, uuid };
    expect(Buffer.from(found)).toEqual(
      Buffer.from(loadOption({ description: 'lifeboat', filePath: own.filePath, partition })),
    );
    await removeUefiBootEntry(host, 'lifeboat');
    expect(host.snapshot()).toEqual(before);
    await removeUefiBootEntry(host, 'lifeboat');
    expect(host.snapshot()).toEqual(before);
  });
});
