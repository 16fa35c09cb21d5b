// What the firmware starts from a lifeboat, and where there is none.
import type { Facts } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { startPi } from './pi-firmware.ts';
import { lifeboatFiles, piLifeboatOf } from './pi-lifeboat-files.ts';
import { piBoard, piFacts, piMachine, piNames } from './pi-machine.ts';

const property = (name: string, value: number) => ({
  path: `/proc/device-tree/chosen/bootloader/${name}`,
  text: String.fromCharCode(0, 0, 0, value),
  sizeBytes: 4,
  mode: 0o444,
});

describe.each(piNames)('%s', (name) => {
  const facts = piFacts(name);

  it('starts stage 2 from its lifeboat, with the board set up as before', () => {
    const boat = piLifeboatOf(facts);
    if (typeof boat === 'string') throw new Error(boat);
    const old = startPi(piBoard(facts), piMachine(facts).bootFiles(), false);
    const start = startPi(piBoard(facts), lifeboatFiles(facts, boat), false);
    if (old.kind === 'hangs' || start.kind === 'hangs') throw new Error(JSON.stringify([old, start]));
    expect(start.initramfs).toEqual([boat.initramfs]);
    for (const same of ['kernel', 'is64Bit', 'deviceTree', 'overlays', 'settings'] as const)
      expect(start[same], same).toEqual(old[same]);
    const words = start.commandLine.split(' ');
    expect(words).toEqual(expect.arrayContaining(['rdinit=/migrate/init', 'rootfstype=ramfs', 'migrate.lifeboat']));
    expect(words.filter((word) => /^(root|rootwait|init)(=|$)/.test(word))).toEqual([]);
    const consoles = (line: string): readonly string[] => line.split(' ').filter((word) => word.startsWith('console='));
    expect(consoles(start.commandLine)).toEqual(consoles(old.commandLine));
  });

  it('has what loads the kernel', () => {
    const boat = piLifeboatOf(facts);
    if (typeof boat === 'string') throw new Error(boat);
    const found = [...lifeboatFiles(facts, boat).keys()];
    const isFirmware = (file: string): boolean => /^(bootcode\.bin|start.*\.elf|fixup.*\.dat)$/.test(file);
    expect(found.filter(isFirmware).sort()).toEqual([...piMachine(facts).bootFiles().keys()].filter(isFirmware).sort());
    expect(boat.files).toContainEqual(expect.objectContaining({ path: 'overlays' }));
  });
});

describe('there is no lifeboat', () => {
  const facts = piFacts('pi-4-debian-12');
  const config = (text: string): Partial<Facts> => ({
    bootFiles: facts.bootFiles.map((file) =>
      file.path.endsWith('/config.txt') ? { ...file, text, sizeBytes: text.length } : file,
    ),
  });
  const disks = (change: (disk: Facts['disks'][number]) => Facts['disks'][number]): Partial<Facts> => ({
    disks: facts.disks.map(change),
  });
  const cases: readonly (readonly [string, Partial<Facts>, RegExp])[] = [
    ['where the disk has a GPT', disks((disk) => ({ ...disk, table: { kind: 'gpt', id: 'x' } })), /has none/],
    [
      'where the firmware does not begin with partition 1',
      disks((disk) => ({
        ...disk,
        partitions: disk.partitions.map((partition) => ({ ...partition, number: partition.number + 1 })),
      })),
      /starts from partition 2/,
    ],
    [
      'where the network started the firmware',
      { bootFiles: [...facts.bootFiles, property('boot-mode', 2)] },
      /boot mode 2/,
    ],
    ['where a stick started it', { bootFiles: [...facts.bootFiles, property('boot-mode', 4)] }, /boot mode 4/],
    ['where files must be signed', { bootFiles: [...facts.bootFiles, property('signed', 9)] }, /signed files only/],
    ['where the system lies in a boot.img', config('boot_ramdisk=1\n'), /boot.img/],
    ['where overlays lie elsewhere', config('overlay_prefix=other/\n'), /overlay_prefix/],
  ];

  it.each(cases)('%s', (_, change, reason) => {
    expect(piLifeboatOf({ ...facts, ...change })).toMatch(reason);
  });

  it('but there is one where the card did', () => {
    const bootFiles = [...facts.bootFiles, property('boot-mode', 1), property('signed', 0)];
    expect(piLifeboatOf({ ...facts, bootFiles })).toMatchObject({ way: { kind: 'partition', diskId: '6c586e13' } });
  });
});

describe('files of a lifeboat', () => {
  it('are where os_prefix has them', () => {
    const old = piFacts('pi-4-ubuntu-22.04');
    const directory = '/boot/firmware';
    const below = (name: string) => `${directory}/current/${name}`;
    const moved = ['vmlinuz', 'bcm2711-rpi-4-b.dtb', 'cmdline.txt'];
    const rename = <T extends { readonly path: string }>(file: T): T =>
      moved.some((name) => file.path === `${directory}/${name}`)
        ? { ...file, path: below(file.path.slice(directory.length + 1)) }
        : file;
    const directories = ['current', 'current/overlays'].map((name) => ({
      path: `${directory}/${name}`,
      kind: 'directory' as const,
      sizeBytes: 0,
    }));
    const facts: Facts = {
      ...old,
      bootListing: [...(old.bootListing ?? []).map(rename), ...directories],
      bootFiles: old.bootFiles.map(rename).map((file) => {
        if (!file.path.endsWith('/config.txt')) return file;
        const text = `${file.text}\n[all]\nos_prefix=current/\n`;
        return { ...file, text, sizeBytes: text.length };
      }),
    };
    const boat = piLifeboatOf(facts);
    if (typeof boat === 'string') throw new Error(boat);
    expect(startPi(piBoard(facts), lifeboatFiles(facts, boat), false)).toMatchObject({
      kernel: 'current/vmlinuz',
      deviceTree: 'current/bcm2711-rpi-4-b.dtb',
      initramfs: ['current/stage2.img'],
      commandLine: expect.stringContaining('migrate.lifeboat'),
    });
    expect(boat.files.map(({ path }) => path)).toEqual(expect.arrayContaining(['overlays', 'current/overlays']));
  });
});
