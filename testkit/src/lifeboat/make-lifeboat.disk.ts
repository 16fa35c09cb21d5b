// A lifeboat made on mounted file systems: it lies where it must, the disk holds all of it, and the file system is none the worse.
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost, type Event, type LifeboatRecord, piecesOfFile, readExactly, windowsOf } from '@migrate/core';
import { type MakeLifeboatRequest, makeLifeboat, openFat, parseExtents } from '@migrate/image-tools';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { attachLoop, detachLoop, mountLoop, unmountLoop } from '../loop-device.ts';

const host = createNodeHost();
const mebibyte = 1024 * 1024;
const programs = { fallocate: ['fallocate'], filefrag: ['filefrag'] };
let work: string;
const cleanups: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'make-lifeboat-'));
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});
afterAll(() => rm(work, { recursive: true, force: true }));

interface Mounted {
  /** The whole disk, a loop device. */
  readonly disk: string;
  readonly root: string;
}

const partitionStart = mebibyte;

async function mounted(fileSystem: 'ext4' | 'xfs' | 'btrfs', sizeMib: number): Promise<Mounted> {
  const image = join(work, `${fileSystem}-${sizeMib}`);
  await execa('truncate', ['-s', `${sizeMib}M`, image]);
  const loop = async (...args: string[]): Promise<string> => {
    const device = await attachLoop(image, '--direct-io=on', ...args);
    cleanups.push(() => detachLoop(device));
    return device;
  };
  const disk = await loop();
  const partition = await loop('-o', String(partitionStart));
  await execa(`mkfs.${fileSystem}`, [fileSystem === 'ext4' ? '-q' : '-f', partition]);
  const root = join(work, `root-${fileSystem}-${sizeMib}`);
  await mkdir(root, { recursive: true });
  await mountLoop(partition, root);
  cleanups.push(() => execa('umount', [root]));
  return { disk, root };
}

interface Given {
  readonly path: string;
  readonly bytes: Buffer;
}

const given: readonly Given[] = [
  { path: 'runtime/node', bytes: Buffer.alloc(9 * mebibyte, 'node runtime ') },
  { path: 'plan.json', bytes: Buffer.from('{}\n') },
];
/** More than the record has room for, if each were a piece of it. */
const overlays: readonly Given[] = Array.from({ length: 200 }, (_, index) => ({
  path: `overlays/an overlay with a long name, number ${index}.dtbo`,
  bytes: randomBytes(index * 13),
}));
const givenData: readonly Given[] = [
  { path: 'image', bytes: randomBytes(60 * mebibyte + 123) },
  { path: 'backup', bytes: Buffer.from('the backup\n') },
];

async function requestFor(
  { disk, root }: Mounted,
  fromByte: number,
  events: Event[] = [],
): Promise<MakeLifeboatRequest> {
  const files = join(root, 'sources');
  await mkdir(files, { recursive: true });
  const sourceOf = async ({ path, bytes }: Given) => {
    const copy = join(files, path.replace('/', '-'));
    await writeFile(copy, bytes);
    return { path, sizeBytes: bytes.length, open: () => host.openRead(copy) };
  };
  const reader = await host.openRead(disk);
  const { sizeBytes } = reader;
  await reader.close();
  return {
    host,
    emit: (event) => void events.push(event),
    path: join(root, 'lifeboat'),
    diskPath: disk,
    planId: 'a-plan',
    fileSystemStartByte: partitionStart,
    fromByte,
    reserveBytes: 16 * mebibyte,
    programs,
    files: [
      ...(await Promise.all(given.map(sourceOf))),
      ...(await Promise.all(overlays.map(sourceOf))).map((source) => ({ ...source, isOneOfMany: true as const })),
    ],
    data: await Promise.all(givenData.map(sourceOf)),
    layout: {
      way: { kind: 'gpt', partitionGuid: '0f0e0d0c-0b0a-4908-8706-0504030201ff' },
      serial: 'BA1E-0A05',
      time: new Date(0),
      disk: { sizeBytes, tableId: '0f0e0d0c-0b0a-4908-8706-050403020100' },
    },
  };
}

/** Image and backup are on the bare disk where the record says, behind the image to be flashed. */
async function expectData(place: Mounted, record: LifeboatRecord, fromByte: number): Promise<void> {
  const disk = await host.openRead(place.disk);
  for (const { path, bytes } of givenData) {
    const pieces = piecesOfFile(record, path);
    for (const { startByte } of pieces) expect(startByte).toBeGreaterThanOrEqual(fromByte);
    const found = await readExactly(windowsOf(disk, pieces), 0, bytes.length);
    expect(found?.equals(bytes), path).toBe(true);
  }
  await disk.close();
}

/** Leaves nothing free behind that byte but every second piece of that size. */
async function breakUp({ root }: Mounted, { fromByte, pieceBytes }: { fromByte: number; pieceBytes: number }) {
  const path = join(root, 'breaks-up');
  const { availableBytes } = await host.freeSpace(root);
  await execa('fallocate', ['--length', String(availableBytes - 2 * mebibyte), path]);
  const extents = parseExtents((await execa('filefrag', ['-s', '-v', path])).stdout);
  for (const { fileByte, startByte, sizeBytes } of extents) {
    for (let at = 0; at + pieceBytes <= sizeBytes; at += 2 * pieceBytes) {
      if (startByte + at < fromByte) continue;
      const hole = ['--offset', String(fileByte + at), '--length', String(pieceBytes)];
      await execa('fallocate', ['--punch-hole', ...hole, path]);
    }
  }
}

describe('on a file system whose free room is in pieces', () => {
  it('the image of a lifeboat lies in several of them, each behind the place of the new system', async () => {
    const place = await mounted('ext4', 768);
    const fromByte = 200 * mebibyte;
    const request = await requestFor(place, fromByte);
    // Enough for its volume of 42 MiB, and not for the image.
    await breakUp(place, { fromByte, pieceBytes: 48 * mebibyte });
    const record = await makeLifeboat({ ...request, reserveBytes: mebibyte });
    expect(piecesOfFile(record, 'image').length).toBeGreaterThan(1);
    await expectData(place, record, fromByte);
  });
});

describe.each(['ext4', 'xfs'] as const)('on a mounted %s', (fileSystem) => {
  it('a lifeboat lies behind the image, with all that it was given', async () => {
    const place = await mounted(fileSystem, 512);
    const fromByte = 200 * mebibyte;
    const record = await makeLifeboat(await requestFor(place, fromByte));
    expect(record.startByte).toBeGreaterThanOrEqual(fromByte);
    expect(record.startByte % mebibyte).toBe(0);
    // What firmware will read: the bare disk at that place.
    const disk = await host.openRead(place.disk);
    const volume = await openFat({
      sizeBytes: record.sizeBytes,
      read: (target, position) =>
        disk.read(target.subarray(0, Math.max(0, record.sizeBytes - position)), record.startByte + position),
      close: async () => {},
    });
    for (const { path, bytes } of [...given, ...overlays]) {
      let node = volume.root;
      for (const part of path.split('/')) {
        const child = (await volume.children(node)).find(({ text }) => text === part);
        if (child === undefined) throw new Error(`${path} is missing`);
        node = child;
      }
      const found = Buffer.alloc(bytes.length);
      await volume.open(node).read(found, 0);
      expect(found.equals(bytes), path).toBe(true);
    }
    await expectData(place, record, fromByte);
    await disk.close();
  });

  it('takes no more room than its size, and gives all back when it is removed', async () => {
    const place = await mounted(fileSystem, 512);
    const request = await requestFor(place, 200 * mebibyte);
    await execa('sync');
    const free = async (): Promise<number> => (await host.freeSpace(place.root)).availableBytes;
    const before = await free();
    const record = await makeLifeboat(request);
    const dataBytes = givenData.reduce((sum, { bytes }) => sum + bytes.length, 0);
    expect(Math.abs(before - (await free()) - record.sizeBytes - dataBytes)).toBeLessThan(mebibyte);
    await host.removeFile(request.path);
    await execa('sync');
    expect(Math.abs(before - (await free()))).toBeLessThan(mebibyte);
  });

  it('leaves the file system sound', async () => {
    const place = await mounted(fileSystem, 512);
    await makeLifeboat(await requestFor(place, 200 * mebibyte));
    const partition = (await execa('findmnt', ['-n', '-o', 'SOURCE', place.root])).stdout;
    await unmountLoop(partition, place.root);
    cleanups.splice(cleanups.length - 1, 1);
    await execa(
      ...((fileSystem === 'ext4' ? ['e2fsck', ['-fn', partition]] : ['xfs_repair', ['-n', partition]]) as [
        string,
        string[],
      ]),
    );
  });

  it('is refused where there is no room behind the image', async () => {
    const place = await mounted(fileSystem, 512);
    await expect(makeLifeboat(await requestFor(place, 500 * mebibyte))).rejects.toMatchObject({ code: 'no-space' });
  });
});

describe('a disk that does not hold what was written', () => {
  it('is found out', async () => {
    const place = await mounted('ext4', 512);
    const request = await requestFor(place, 200 * mebibyte);
    const spoiling = {
      ...host,
      // At the moment when everything was written and is about to be read back.
      dropCaches: async () => {
        await host.dropCaches();
        const { stdout } = await execa('filefrag', ['-b512', '-v', request.path]);
        const sector = Number(/^ *0: +\d+\.\. *\d+: +(\d+)/m.exec(stdout)?.[1]);
        await execa('dd', [
          'if=/dev/urandom',
          `of=${place.disk}`,
          'bs=512',
          'count=1',
          'conv=notrunc',
          'oflag=direct',
          `seek=${partitionStart / 512 + sector}`,
        ]);
      },
    };
    await expect(makeLifeboat({ ...request, host: spoiling })).rejects.toMatchObject({ code: 'verify-mismatch' });
  });
});
