import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost, readPartitionTable } from '@migrate/core';
import { extractPartitions, fsSnippet } from '@migrate/image-tools';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { diskBytes } from '../debian-disk.ts';
import { type Road, startRoad } from './road.ts';
import { migrateAndCheck } from './road-test.ts';

const deviceType = 'generic-amd64';

describe('a Debian 12 machine with UEFI and an image as archives', () => {
  let road: Road;
  let archives = '';
  beforeAll(async () => {
    road = await startRoad({
      shape: 'uefi',
      deviceType,
      addFiles: async (share, image) => {
        await mkdir(join(share, 'archives'));
        const setting = await extract(image.raw, join(share, 'archives'));
        archives = setting.replaceAll(/path: (.*\.tgz)/g, 'path: archives/$1').replace('check: ~', 'check: ro');
      },
    });
  });
  afterAll(() => road?.close());

  it('becomes balenaOS by itself, with resin-data as large as the disk allows', async () => {
    await migrateAndCheck(road, { deviceType, firmware: 'uefi', archives });
    const raw = join(road.disk, '..', 'after.raw');
    await execa('qemu-img', ['convert', '-O', 'raw', road.disk, raw]);
    const reader = await createNodeHost().openRead(raw);
    const table = await readPartitionTable(reader, 512);
    await reader.close();
    expect(table?.kind).toBe('gpt');
    expect(table?.backupAtEnd).toBe(true);
    const data = table?.partitions.find(({ name }) => name === 'resin-data');
    const mebibyte = 1024 * 1024;
    expect((data?.startByte ?? 0) + (data?.sizeBytes ?? 0)).toBe(diskBytes - 4 * mebibyte);
  });
});

/** What balena-extract prints for that image, below `balena.image`. */
async function extract(raw: string, directory: string): Promise<string> {
  const reader = await createNodeHost().openRead(raw);
  try {
    const setting = await extractPartitions(reader, {
      host: createNodeHost(),
      emit: () => {},
      deviceType,
      directory,
      hash: 'sha256',
    });
    return fsSnippet(setting).replace(/^balena:\n {2}image:\n/, '');
  } finally {
    await reader.close();
  }
}
