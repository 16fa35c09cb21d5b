import { describe, expect, it } from 'vitest';
import { inspectWindows } from '../facts/inspect-windows.ts';
import { partitionTypes, type WindowsDisk, type WindowsFacts } from '../facts/windows-facts.ts';
import { bootParts, pcDevice, readerOf, windowsAssets, windowsConfig, windowsImage } from '../windows-fixture.ts';
import { makeWindowsPlan } from './make-windows-plan.ts';

const gibibyte = 1024 ** 3;
const sound = await inspectWindows(readerOf('windows-10-pro-gap'));

function findingsOf(facts: WindowsFacts, change: Partial<Parameters<typeof makeWindowsPlan>[0]> = {}) {
  return makeWindowsPlan({
    config: windowsConfig(),
    facts,
    assets: windowsAssets(),
    boot: bootParts,
    device: pcDevice,
    toolVersion: '0.1.0',
    ...change,
  });
}

function withDisk(change: (disk: WindowsDisk) => Partial<WindowsDisk>): WindowsFacts {
  return { ...sound, disks: sound.disks.map((disk) => ({ ...disk, ...change(disk) })) };
}

function withWindows(change: Partial<WindowsDisk['partitions'][number]>): WindowsFacts {
  return withDisk(({ partitions }) => ({
    partitions: partitions.map((partition) => (partition.isBoot ? { ...partition, ...change } : partition)),
  }));
}

const codes = ({ findings }: ReturnType<typeof findingsOf>): string[] =>
  findings.filter(({ severity }) => severity === 'error').map(({ code }) => code);

describe('a machine with Windows', () => {
  it('that is sound gets a plan', () => {
    const { plan, findings } = findingsOf(sound);
    expect(codes({ findings })).toEqual([]);
    expect(plan?.bootManager).toBe('windows-boot-next');
  });

  it.each<[string, WindowsFacts, string]>([
    ['no administrator', { ...sound, isAdministrator: false }, 'not-administrator'],
    ['a BIOS', { ...sound, firmware: 'bios' }, 'firmware-not-uefi'],
    ['an unknown firmware', { ...sound, firmware: 'unknown' }, 'firmware-not-uefi'],
    ['Secure Boot', { ...sound, secureBoot: true }, 'secure-boot'],
    ['32 bits', { ...sound, architecture: 'i386' }, 'windows-architecture'],
    ['ARM', { ...sound, architecture: 'aarch64' }, 'windows-architecture'],
    ['an empty-going battery', { ...sound, battery: { isDischarging: true, percent: 90 } }, 'on-battery'],
    ['new volumes that are not mounted', { ...sound, isAutoMountOff: true }, 'automount-off'],
    ['BitLocker on', withWindows({ bitLocker: { protection: 'on', conversion: 'encrypted' } }), 'bitlocker-on'],
    ['a locked volume', withWindows({ bitLocker: { protection: 'unknown', conversion: 'unknown' } }), 'bitlocker-on'],
    [
      'BitLocker at work',
      withWindows({ bitLocker: { protection: 'off', conversion: 'decrypting' } }),
      'bitlocker-converting',
    ],
    [
      'BitLocker paused',
      withWindows({ bitLocker: { protection: 'off', conversion: 'paused' } }),
      'bitlocker-converting',
    ],
    ['an MBR', withDisk(() => ({ table: 'mbr' })), 'disk-not-gpt'],
    [
      'a dynamic disk',
      withDisk(({ partitions }) => ({
        partitions: partitions.map((partition) => ({
          ...partition,
          type: partition.isBoot ? partitionTypes.dynamicData : (partition.type ?? ''),
        })),
      })),
      'disk-dynamic',
    ],
    [
      'a disk without a GUID',
      { ...sound, disks: sound.disks.map(({ guid: _, ...disk }) => disk) },
      'disk-guid-unknown',
    ],
    ['Storage Spaces', withDisk(() => ({ bus: 'Spaces' })), 'disk-storage-spaces'],
    ['a disk taken offline', withDisk(() => ({ isOffline: true })), 'disk-offline'],
    ['a write-protected disk', withDisk(() => ({ isReadOnly: true })), 'target-read-only'],
    ['a small disk', withDisk(() => ({ sizeBytes: 200 * 1024 ** 2, partitions: [] })), 'windows-disk-unknown'],
    ['no disk', { ...sound, disks: [] }, 'windows-disk-unknown'],
    [
      'no system partition',
      withDisk(({ partitions }) => ({ partitions: partitions.filter(({ isSystem }) => !isSystem) })),
      'system-partition-unknown',
    ],
    [
      'two system partitions, none of them known to be its own',
      withDisk(({ partitions }) => ({
        partitions: partitions.map((partition) => ({ ...partition, isSystem: false, type: partitionTypes.esp })),
      })),
      'system-partition-unknown',
    ],
    [
      'its system partition on another disk',
      {
        ...sound,
        disks: sound.disks.flatMap((disk) => [
          { ...disk, partitions: disk.partitions.filter(({ isSystem }) => !isSystem) },
          {
            ...disk,
            number: 1,
            guid: 'eeeeeeee-0000-4000-8000-000000000000',
            partitions: disk.partitions.filter(({ isSystem }) => isSystem),
          },
        ]),
      },
      'several-disks',
    ],
    [
      'a copy of its disk',
      { ...sound, disks: sound.disks.flatMap((disk) => [disk, { ...disk, number: 1, partitions: [] }]) },
      'disk-guid-twice',
    ],
    ['little memory', { ...sound, memory: { totalBytes: 256 * 1024 ** 2, availableBytes: 1 } }, 'memory-too-small'],
    [
      'a disk without room',
      withDisk(({ partitions }) => ({
        sizeBytes: 215 * gibibyte,
        partitions: partitions
          .filter(({ driveLetter }) => driveLetter !== 'D')
          .map((partition) =>
            partition.isBoot
              ? {
                  ...partition,
                  sizeBytes: 215 * gibibyte - partition.offsetBytes - 1024 ** 2,
                  supportedSize: { minimumBytes: 214.3 * gibibyte, maximumBytes: 215 * gibibyte },
                }
              : partition,
          ),
      })),
      'no-room',
    ],
  ])('with %s is refused, with a cure', (_, facts, code) => {
    const { plan, findings } = findingsOf(facts);
    expect(codes({ findings })).toContain(code);
    expect(findings.every(({ hint }) => hint.length > 10)).toBe(true);
    expect(plan).toBeUndefined();
  });

  it('whose BitLocker could not be asked is refused, one without BitLocker is not', () => {
    const silent = withDisk(({ partitions }) => ({
      partitions: partitions.map(({ bitLocker: _, ...partition }) => partition),
    }));
    expect(codes(findingsOf({ ...silent, bitLocker: 'unknown' }))).toEqual(['bitlocker-unknown']);
    expect(codes(findingsOf({ ...silent, bitLocker: 'absent' }))).toEqual([]);
  });

  it('with data that stay encrypted under a suspended BitLocker gets a plan', () => {
    expect(codes(findingsOf(withWindows({ bitLocker: { protection: 'off', conversion: 'encrypted' } })))).toEqual([]);
  });

  it('is told of fast start where its operator restarts it', () => {
    const { rebootSeconds: _, ...manual } = windowsConfig().migrate;
    const ofManual = findingsOf(sound, { config: { ...windowsConfig(), migrate: manual } }).findings;
    expect(ofManual.map(({ code }) => code)).toContain('fast-start');
    expect(findingsOf(sound).findings.map(({ code }) => code)).not.toContain('fast-start');
  });

  it.each([
    ['migrate.force_flash_device', { forceFlashDevice: '/dev/sda' }, 'target-forced'],
    ['migrate.identity', { identity: { hostname: true, machineId: 'data' } }, 'backup-unsupported'],
  ])('is not migrated with %s', (_, settings, code) => {
    expect(codes(findingsOf(sound, { config: windowsConfig(settings) }))).toEqual([code]);
  });

  it('needs room on the system partition only where a loader goes there', () => {
    const full = withDisk(({ partitions }) => ({
      partitions: partitions.map((partition) =>
        partition.isSystem && partition.volume !== undefined
          ? { ...partition, volume: { ...partition.volume, freeBytes: 1024 ** 2 } }
          : partition,
      ),
    }));
    expect(codes(findingsOf(full))).toEqual([]);
    const config = windowsConfig({ windowsBoot: 'boot-manager' });
    expect(codes(findingsOf(full, { config }))).toEqual(['system-partition-full']);
    expect(findingsOf(sound, { config }).plan?.stage1.at(-1)?.kind).toBe('replace-windows-boot-manager');
  });

  it.each([
    ['for another kind of machine', windowsImage({ deviceType: 'raspberrypi4-64' }), 'image-device-type'],
    ['larger than a file on a FAT', windowsImage({ fileBytes: 5 * gibibyte }), 'payload-file-too-large'],
  ])('refuses an image %s', (_, image, code) => {
    expect(codes(findingsOf(sound, { assets: windowsAssets({ image }) }))).toContain(code);
  });
});
