import { MigrateError } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readerOf } from '../windows-fixture.ts';
import { parseDisks } from './parse-disks.ts';
import { parseSystem } from './parse-system.ts';

describe('facts of Windows', () => {
  it('are the same for a list of one and the thing itself, and for numbers and names', async () => {
    const printed = (await readerOf('windows-10-iot-kiosk')('read-disks')) as { disks: Record<string, unknown> };
    const asList = {
      ...printed,
      disks: [{ ...printed.disks, sizeBytes: Number(printed.disks.sizeBytes), busType: 11, partitionStyle: '2' }],
    };
    expect(parseDisks(asList)).toEqual(parseDisks(printed));
    expect(parseDisks({ ...printed, disks: null }).disks).toEqual([]);
  });

  it('know a FAT by the UUID that Linux will see, also from a signed number', async () => {
    const uuidOf = async (machine: string) =>
      parseDisks(await readerOf(machine)('read-disks')).disks[0]?.partitions.find(({ isSystem }) => isSystem)?.volume
        ?.uuid;
    expect(await uuidOf('windows-11-pro-laptop-german')).toBe('1A2B-3C4D');
    expect(await uuidOf('windows-10-home-japanese')).toBe('AABB-CCDD');
    expect(await uuidOf('windows-10-iot-kiosk')).toBe('0000-BEEF');
  });

  it('call Windows 11 by its name, and take a setting that is not written for the usual one', async () => {
    const german = parseSystem(await readerOf('windows-11-pro-laptop-german')('read-system'));
    expect(german.os).toEqual({
      name: 'Windows 11 Pro',
      displayVersion: '23H2',
      build: 22631,
      edition: 'Professional',
    });
    expect(german.hasFastStart).toBe(true);
    const server = parseSystem(await readerOf('windows-server-2022')('read-system'));
    expect(server).toMatchObject({ isAdministrator: true, hasFastStart: false });
    expect(server.secureBoot).toBeUndefined();
  });

  it('know the firmware by number and by name, and automount where it was turned off', async () => {
    const printed = (await readerOf('windows-10-pro-gap')('read-system')) as Record<string, unknown>;
    const firmwareOf = (firmwareType: unknown): string => parseSystem({ ...printed, firmwareType }).firmware;
    expect([2, '2', 'UEFI', 'Uefi'].map(firmwareOf)).toEqual(['uefi', 'uefi', 'uefi', 'uefi']);
    expect([1, 'Legacy', '', null].map(firmwareOf)).toEqual(['bios', 'bios', 'unknown', 'unknown']);
    const automount = (noAutoMount: unknown) => parseSystem({ ...printed, noAutoMount }).isAutoMountOff;
    expect([undefined, null, 0, 1, '1'].map(automount)).toEqual([undefined, undefined, undefined, true, true]);
  });

  it('are refused where something is missing or is no number', async () => {
    const disks = (await readerOf('windows-10-pro-gap')('read-disks')) as { disks: Record<string, unknown>[] };
    const broken = { ...disks, disks: disks.disks.map((disk) => ({ ...disk, sizeBytes: 'viel' })) };
    expect(() => parseDisks(broken)).toThrow('read-disks: the size of disk 0 is no size: viel');
    expect(() => parseDisks([])).toThrow(MigrateError);
    expect(() => parseSystem({ isAdministrator: true })).toThrow(/^read-system: PowerShell's answer has another form/);
  });

  it('come from any JSON as facts or as an error of ours', () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.jsonValue(), (disks, partitions) => {
        for (const parse of [
          () => parseDisks({ disks: [{ number: 0, sizeBytes: 1, partitions }] }),
          () => parseDisks({ disks }),
          () => parseSystem(disks),
        ]) {
          try {
            parse();
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(MigrateError);
          }
        }
      }),
    );
  });
});
