// What a fixture of fixtures/windows prints for each operation, and the files of a migration; tests change one thing of it at a time.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Assets,
  type BootManager,
  type Config,
  type Device,
  type ImageFacts,
  parseConfig,
  type RuntimeAsset,
} from '@migrate/core';
import type { WindowsReader } from './facts/inspect-windows.ts';
import type { BootParts } from './plan/boot-parts.ts';

const mebibyte = 1024 * 1024;

export const windowsFixtures = join(import.meta.dirname, '../../../fixtures/windows');

/** What a hand-written machine answers. */
export function readerOf(machine: string): WindowsReader {
  return async (operation) => JSON.parse(readFileSync(join(windowsFixtures, machine, `${operation}.json`), 'utf8'));
}

/** The bundle's boot/. */
export const bootParts: BootParts = {
  kernel: { path: 'C:\\migrate/boot/vmlinuz', sizeBytes: 8 * mebibyte },
  loader: { path: 'C:\\migrate/boot/grubx64.efi', sizeBytes: mebibyte },
  release: '6.1.0-41-amd64',
  modules: [
    { name: 'nvme', path: 'C:\\migrate/boot/modules/nvme.ko', sizeBytes: 100_000 },
    { name: 'vfat', path: 'C:\\migrate/boot/modules/vfat.ko', sizeBytes: 50_000 },
  ],
};

export const runtime: RuntimeAsset = {
  directory: 'C:\\migrate',
  architecture: 'x86_64',
  files: [
    { path: 'runtime/node', sizeBytes: 86 * mebibyte, isExecutable: false },
    { path: 'runtime/lib/libc.so.6', sizeBytes: 2 * mebibyte, isExecutable: false },
    { path: 'runtime/busybox', sizeBytes: 2 * mebibyte, isExecutable: false },
    { path: 'app/stage2.js', sizeBytes: mebibyte, isExecutable: false },
    { path: 'app/init', sizeBytes: 8192, isExecutable: false },
    { path: 'runtime/lifeboat/BOOTX64.EFI', sizeBytes: 300_000, isExecutable: false },
  ],
};

/** As proveImage would describe an image. */
export function windowsImage(changes: Partial<ImageFacts> = {}): ImageFacts {
  const labels = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'];
  return {
    path: 'C:\\migrate\\image.img.gz',
    compression: 'gzip',
    fileBytes: 100 * mebibyte,
    fileSha256: 'a'.repeat(64),
    sizeBytes: 300 * mebibyte,
    chunkBytes: 4 * mebibyte,
    chunkSha256: Array.from({ length: 2 }, () => 'c'.repeat(64)),
    table: {
      kind: 'gpt',
      id: '7a7a7a7a-0000-4000-8000-000000000001',
      partitions: labels.map((name, index) => ({
        number: index + 1,
        startByte: (index * 40 + 4) * mebibyte,
        sizeBytes: 40 * mebibyte,
        type: index === 0 ? 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B' : '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
        uuid: `7a7a7a7a-0000-4000-8000-00000000001${index}`,
        name,
        bootable: false,
      })),
    },
    kind: 'balena-raw',
    labels: Object.fromEntries(labels.map((label, index) => [label, index])),
    deviceType: 'generic-amd64',
    version: '5.1.20',
    ...changes,
  };
}

export function windowsAssets(changes: Partial<Assets> = {}): Assets {
  return {
    image: windowsImage(),
    configJson: {
      path: 'C:\\migrate\\config.json',
      sizeBytes: 400,
      sha256: 'b'.repeat(64),
      deviceType: 'generic-amd64',
      withHostname: { hostname: 'pc', sizeBytes: 420, sha256: 'd'.repeat(64) },
    },
    connections: [],
    runtime,
    findings: [],
    ...changes,
  };
}

/** A small configuration that takes all networks along. */
export function windowsConfig(changes: Partial<Config['migrate']> = {}): Config {
  const text = [
    'migrate: { reboot: 5, all_wifis: true, require_nwmgr_config: false }',
    'balena: { image: { dd: { path: image.img.gz } }, config: { path: config.json } }',
    '',
  ].join('\n');
  const { config } = parseConfig(text, 'balena-migrate.yml');
  if (config === undefined) throw new Error('it is sound');
  return { ...config, migrate: { ...config.migrate, ...changes } };
}

/** Starts a lifeboat as GRUB does; nothing else is asked of it. */
const lifeboatStarter: BootManager = {
  kind: 'grub',
  bootFiles: () => [],
  isInCharge: () => false,
  check: () => [],
  checkTarget: () => [],
  bootDirectory: () => '/boot/balena-migrate',
  bootOnce: () => [],
  restoreBoot: () => [],
  bootTarget: () => [],
  lifeboat: ({ loaderDirectory, commandLine }, { disk, image }) =>
    disk.table?.kind !== 'gpt' || image.table.kind !== 'gpt'
      ? 'both the disk and the image need a GPT'
      : {
          way: { kind: 'gpt', diskGuid: disk.table.id },
          files: [
            { path: 'EFI/BOOT/BOOTX64.EFI', from: `${loaderDirectory}/BOOTX64.EFI` },
            { path: 'grub/grub.cfg', text: `linux /vmlinuz ${commandLine.join(' ')}\n` },
          ],
          entry: { description: 'balena migrate lifeboat', filePath: '\\EFI\\BOOT\\BOOTX64.EFI' },
        },
  bootsFromPartitions: () => true,
};

/** What a PC is once Windows is gone. */
export const pcDevice: Device = {
  name: 'pc',
  deviceTypes: ['generic-amd64'],
  architecture: 'x86_64',
  matches: () => true,
  bootManagers: [lifeboatStarter],
};
