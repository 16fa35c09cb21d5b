// Partition tables as tools of others make them: GPT in sectors of 512 and 4096 bytes, and one whose first copy is lost.
import { mkdtemp, open, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost, type Emit } from '@migrate/core';
import { describeImage, proveImage } from '@migrate/image-tools';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { attachLoop, detachLoop } from '../loop-device.ts';

const host = createNodeHost();
const emit: Emit = () => {};
const mebibyte = 1024 ** 2;
let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sector-sizes-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function imageOf(tool: 'sgdisk' | 'sfdisk' | 'parted', sectorBytes: 512 | 4096): Promise<string> {
  const path = join(directory, `${tool}-${sectorBytes}.img`);
  await writeFile(path, '');
  await truncate(path, 64 * mebibyte);
  const device = await attachLoop(path, `--sector-size=${sectorBytes}`);
  try {
    const sectors = (mib: number): string => String((mib * mebibyte) / sectorBytes);
    if (tool === 'sgdisk') {
      await execa('sgdisk', [
        '-n',
        `1:${sectors(4)}:${Number(sectors(12)) - 1}`,
        '-c',
        '1:one',
        '-n',
        `2:${sectors(12)}:${Number(sectors(20)) - 1}`,
        '-c',
        '2:two',
        device,
      ]);
    } else if (tool === 'sfdisk') {
      const input = `label: gpt\nstart=${sectors(4)},size=${sectors(8)},name=one\nstart=${sectors(12)},size=${sectors(8)},name=two\n`;
      await execa('sfdisk', ['-q', '--no-tell-kernel', device], { input });
    } else {
      const part = (name: string, from: number, to: number): string[] => [
        'mkpart',
        name,
        'ext4',
        `${from}MiB`,
        `${to}MiB`,
      ];
      await execa('parted', ['-s', device, 'mklabel', 'gpt', ...part('one', 4, 12), ...part('two', 12, 20)]);
    }
  } finally {
    await detachLoop(device);
  }
  return path;
}

async function described(path: string) {
  const reader = await host.openRead(path);
  try {
    const { inspection } = await describeImage(reader);
    const places = inspection.table.partitions.map(({ name, startByte, sizeBytes }) => [
      name,
      startByte / mebibyte,
      sizeBytes / mebibyte,
    ]);
    return { sectorBytes: inspection.sectorBytes, places, backupAtEnd: inspection.table.backupAtEnd };
  } finally {
    await reader.close();
  }
}

const places = [
  ['one', 4, 8],
  ['two', 12, 8],
];

describe.each(['sgdisk', 'sfdisk', 'parted'] as const)('a GPT by %s', (tool) => {
  it.each([512, 4096] as const)('in sectors of %d bytes is read right', async (sectorBytes) => {
    const path = await imageOf(tool, sectorBytes);
    expect(await described(path)).toEqual({ sectorBytes, places, backupAtEnd: true });
    if (sectorBytes === 4096)
      await expect(proveImage({ host, path, emit })).rejects.toMatchObject({ code: 'unsupported' });
  });

  it('is read by its backup where the first copy is damaged, but not flashed', async () => {
    const path = await imageOf(tool, 512);
    const file = await open(path, 'r+');
    await file.write(Buffer.from([0xff]), 0, 1, 512 + 60);
    await file.close();
    expect(await described(path)).toMatchObject({ places });
    await expect(proveImage({ host, path, emit })).rejects.toMatchObject({ code: 'invalid-input' });
  });
});

it('an MBR by parted is read right, logical partitions too', async () => {
  const path = join(directory, 'mbr.img');
  await writeFile(path, '');
  await truncate(path, 64 * mebibyte);
  const part = (kind: string, from: number, to: number): string[] => ['mkpart', kind, `${from}MiB`, `${to}MiB`];
  const logical = [...part('logical', 21, 28), ...part('logical', 29, 39)];
  await execa('parted', [
    '-s',
    path,
    'mklabel',
    'msdos',
    ...part('primary', 4, 12),
    ...part('extended', 20, 40),
    ...logical,
  ]);
  const reader = await host.openRead(path);
  const { inspection } = await describeImage(reader);
  await reader.close();
  expect(
    inspection.table.partitions.map(({ number, startByte, sizeBytes }) => [
      number,
      startByte / mebibyte,
      sizeBytes / mebibyte,
    ]),
  ).toEqual([
    [1, 4, 8],
    [2, 20, 20],
    [5, 21, 7],
    [6, 29, 10],
  ]);
});
