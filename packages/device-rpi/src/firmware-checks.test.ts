import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BootFile, Disk, Facts, ListedFile } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { piFirmware } from './firmware-boot.ts';
import { modelNamed, piModels } from './models.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');
const facts = (name: string): Facts => JSON.parse(readFileSync(join(machines, name, 'facts.json'), 'utf8')) as Facts;
const stretch = facts('pi-3-raspbian-9');
const bookworm = facts('pi-4-debian-12');
const errors = (changed: Facts) => piFirmware.check(changed).filter(({ severity }) => severity === 'error');
const codes = (changed: Facts): readonly string[] => errors(changed).map(({ code }) => code);

function withFile(machine: Facts, name: string, change: (text: string) => string): Facts {
  const path = name.startsWith('/') ? name : `${bootDirectory(machine)}/${name}`;
  const former = machine.bootFiles.find((file) => file.path === path);
  const text = change(former?.text ?? '');
  const file: BootFile = { path, sizeBytes: Buffer.byteLength(text), mode: 0o755, text };
  return {
    ...machine,
    bootFiles: [...machine.bootFiles.filter((other) => other.path !== path), file],
    bootListing: [...without(machine, path), { path, kind: 'file', sizeBytes: file.sizeBytes }],
  };
}

function withoutFile(machine: Facts, path: string): Facts {
  return {
    ...machine,
    bootFiles: machine.bootFiles.filter((file) => file.path !== path),
    bootListing: without(machine, path),
  };
}

function without(machine: Facts, path: string): readonly ListedFile[] {
  return (machine.bootListing ?? []).filter((file) => file.path !== path);
}

function bootDirectory(machine: Facts): string {
  return machine.mounts.find(({ fileSystem }) => fileSystem === 'vfat')?.target ?? '';
}

function withDisks(machine: Facts, change: (disk: Disk) => readonly Disk[]): Facts {
  return { ...machine, disks: machine.disks.flatMap(change) };
}

const withOptions = (machine: Facts, options: readonly string[]): Facts => ({
  ...machine,
  mounts: machine.mounts.map((mount) => (mount.fileSystem === 'vfat' ? { ...mount, options } : mount)),
});

describe('checking a sound board', () => {
  it('finds nothing', () => {
    expect(piFirmware.check(bookworm)).toEqual([]);
  });

  it('tells of a kernel that cannot restart the board before its modules are loaded', () => {
    const watchdog = { name: 'bcm2835_wdt', path: '/lib/modules/x/bcm2835_wdt.ko', sizeBytes: 1 };
    const modules = { ...bookworm.modules, needed: [...bookworm.modules.needed, watchdog] };
    expect(piFirmware.check({ ...bookworm, modules })).toMatchObject([
      { severity: 'warning', code: 'rpi-watchdog-module' },
    ]);
  });

  it('tells what is missing where there is no one-shot', () => {
    expect(piFirmware.check(stretch)).toMatchObject([{ severity: 'warning', code: 'rpi-no-one-shot' }]);
  });

  it('knows every row by its model, and no two rows by one', () => {
    for (const model of [
      'Raspberry Pi 2 Model B Rev 1.1',
      'Raspberry Pi 3 Model B Rev 1.2',
      'Raspberry Pi 3 Model B Plus Rev 1.3',
      'Raspberry Pi Compute Module 3 Plus Rev 1.0',
      'Raspberry Pi Zero 2 W Rev 1.0',
      'Raspberry Pi 4 Model B Rev 1.4',
      'Raspberry Pi 400 Rev 1.0',
      'Raspberry Pi Compute Module 4 Rev 1.0',
      'Raspberry Pi 5 Model B Rev 1.0',
    ]) {
      expect(
        piModels.filter((row) => row.deviceTreeModel.test(model)),
        model,
      ).toHaveLength(1);
    }
    for (const other of [
      'Raspberry Pi Model B Rev 2',
      'Raspberry Pi Zero W Rev 1.1',
      'Raspberry Pi Compute Module 5 Rev 1.0',
    ])
      expect(modelNamed(other), other).toBeUndefined();
  });
});

describe('refuses, naming the cure', () => {
  const cases: readonly (readonly [what: string, machine: Facts, code: string])[] = [
    ['a boot partition that is not mounted', { ...stretch, mounts: stretch.mounts.slice(0, 1) }, 'rpi-boot-partition'],
    ['a read-only boot partition', withOptions(stretch, ['ro']), 'boot-read-only'],
    [
      'a system behind another FAT partition, as NOOBS makes it',
      withDisks(stretch, (disk) => [
        {
          ...disk,
          partitions: disk.partitions.flatMap((partition) =>
            partition.number === 1
              ? [
                  { ...partition, path: '/dev/mmcblk0p0', device: '', fileSystem: { type: 'vfat', uuid: 'AAAA-0001' } },
                  { ...partition, number: 6 },
                ]
              : [partition],
          ),
        },
      ]),
      'rpi-other-partition',
    ],
    [
      'a start from another partition, by what the firmware tells',
      withFile(bookworm, '/proc/device-tree/chosen/bootloader/partition', () => '\0\0\0\x02'),
      'rpi-other-partition',
    ],
    [
      'a root file system on another disk',
      withDisks(stretch, (disk) => [
        { ...disk, partitions: disk.partitions.slice(0, 1) },
        { ...disk, name: 'sda', path: '/dev/sda', partitions: disk.partitions.slice(1) },
      ]),
      'rpi-other-disk',
    ],
    [
      'a second medium with the same volume id',
      withDisks(stretch, (disk) => [
        disk,
        {
          ...disk,
          path: '/dev/sda',
          partitions: disk.partitions.slice(0, 1).map((each) => ({ ...each, path: '/dev/sda1', device: '8:1' })),
        },
      ]),
      'boot-uuid',
    ],
    ['autoboot.txt', withFile(bookworm, 'autoboot.txt', () => '[all]\nboot_partition=2\n'), 'rpi-autoboot'],
    ['bytes that are no text', withFile(stretch, 'config.txt', (text) => `${text}#\uFFFD\n`), 'rpi-config-bytes'],
    ['a missing include', withFile(stretch, 'config.txt', (text) => `${text}include gone.txt\n`), 'rpi-config-missing'],
    ['the undocumented form', withFile(stretch, 'config.txt', (text) => `${text}kernel a.img\n`), 'rpi-config-unclear'],
    [
      'an include where the firmware may not follow it',
      withFile(
        withFile(facts('pi-5-debian-12'), 'a.txt', () => ''),
        'config.txt',
        (text) => `${text}include a.txt\n`,
      ),
      'rpi-config-unclear',
    ],
    [
      'a kernel that depends on a pin',
      withFile(stretch, 'config.txt', (text) => `[gpio4=1]\nkernel=kernel.img\n[all]\n${text}`),
      'rpi-config-unclear',
    ],
    [
      'a kernel for the other word size',
      withFile(stretch, 'config.txt', (text) => `${text}arm_64bit=1\n`),
      'rpi-config-boot',
    ],
    [
      'too many filters to look at each case',
      withFile(
        stretch,
        'config.txt',
        (text) => `${text}${[1, 2, 3, 4, 5, 6, 7].map((pin) => `[gpio${pin}=1]\n`).join('')}`,
      ),
      'rpi-config-unclear',
    ],
    ['a missing kernel', withoutFile(stretch, '/boot/kernel7.img'), 'rpi-config-boot'],
    ['a missing device tree', withoutFile(stretch, '/boot/bcm2710-rpi-3-b.dtb'), 'rpi-device-tree'],
    [
      'U-Boot in place of a kernel',
      withFile(
        withFile(stretch, 'uboot.bin', () => ''),
        'config.txt',
        (text) => `${text}kernel=uboot.bin\n`,
      ),
      'kernel-image',
    ],
    [
      'a kernel of another flavour than the running one',
      { ...stretch, kernel: { ...stretch.kernel, release: '4.19.66-v8+' } },
      'kernel-image',
    ],
    [
      'a kernel updated since the start',
      { ...bookworm, kernel: { ...bookworm.kernel, image: { path: '/boot/vmlinuz-x', sizeBytes: 1 } } },
      'kernel-image',
    ],
    ['no root argument', withFile(bookworm, 'cmdline.txt', () => 'console=tty1\n'), 'rpi-root-argument'],
    [
      'a full command line',
      { ...stretch, kernel: { ...stretch.kernel, commandLine: 'x'.repeat(1000) } },
      'rpi-command-line',
    ],
    ['no mailbox tool', withoutFile(bookworm, '/usr/bin/vcmailbox'), 'rpi-mailbox'],
    ['a tryboot.txt of someone else', withFile(bookworm, 'tryboot.txt', () => ''), 'rpi-tryboot-taken'],
    [
      'a tryboot section that starts something else',
      withFile(bookworm, 'config.txt', (text) => `${text}[tryboot]\nos_prefix=new/\n`),
      'rpi-tryboot-differs',
    ],
    [
      'an initramfs named in an included file',
      withFile(
        withFile(bookworm, 'more.txt', () => 'initramfs own.img followkernel\n'),
        'config.txt',
        (text) => `${text}include more.txt\n`,
      ),
      'rpi-tryboot-differs',
    ],
    [
      'an initramfs with old firmware',
      withFile(stretch, 'config.txt', (text) => `initramfs own.img followkernel\n${text}`),
      'rpi-initramfs',
    ],
    [
      'a root that only an initramfs finds, with old firmware',
      withFile(stretch, 'cmdline.txt', () => 'root=LABEL=writable rootwait\n'),
      'rpi-root-argument',
    ],
    ['no room for the switch', withFile(stretch, 'config.txt', () => 'dtparam=audio=on\n'), 'rpi-config-room'],
  ];

  it.each(cases)('%s', (_what, machine, code) => {
    expect(codes(machine)).toEqual([code]);
    for (const finding of piFirmware.check(machine)) expect(finding.hint.length).toBeGreaterThan(10);
  });

  it('makes room where its hint is followed', () => {
    const bare = withFile(stretch, 'config.txt', () => 'dtparam=audio=on\n');
    const [, count, line] = /Append (\d+) lines of "(#+)"/.exec(errors(bare)[0]?.hint ?? '') ?? [];
    const followed = withFile(bare, 'config.txt', (text) => `${text}${`${line}\n`.repeat(Number(count))}`);
    expect(codes(followed)).toEqual([]);
    // Also where the lines fall across the end of a sector.
    for (let length = 380; length < 520; length += 1) {
      const long = withFile(bare, 'config.txt', () => `${'dtparam=audio=on\n'.repeat(23).slice(0, length - 1)}\n`);
      const filled = withFile(long, 'config.txt', (text) => `${text}${`${line}\n`.repeat(Number(count))}`);
      expect(codes(filled), `${length}`).toEqual([]);
    }
  });
});
