// A lifeboat made in a file of a FAT that mkfs.vfat and mtools have made, where that file lies on the disk.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createNodeHost,
  type MigrateError,
  piecesOfFile,
  readExactly,
  type SealedFile,
  type StepOf,
  serializeLifeboatSeal,
  windowOf,
  windowsOf,
} from '@migrate/core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { openFat } from '../fat/fat-reader.ts';
import { fillLifeboat } from './fill-lifeboat.ts';
import { proveLifeboat } from './prove-lifeboat.ts';

const host = createNodeHost();
const mebibyte = 1024 * 1024;
const diskBytes = 256 * mebibyte;
const fatStart = 64 * mebibyte;
const fatBytes = 160 * mebibyte;
const image = Buffer.alloc(5 * mebibyte + 321, 'balenaOS, or so ');
const secret = Buffer.from('a password\n');
const kernel = Buffer.alloc(3 * mebibyte + 7, 'a kernel ');
let work: string;
let disk: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'fill-lifeboat-'));
});
afterEach(() => rm(disk, { force: true }));
afterAll(() => rm(work, { recursive: true, force: true }));

const step: StepOf<'fill-lifeboat'> = {
  kind: 'fill-lifeboat',
  id: 'fill-lifeboat',
  path: '/volume.img',
  sealPath: '/seal.json',
  fileSystemStartByte: fatStart,
  partitionBytes: fatBytes,
  fromByte: fatStart,
  serial: 'BA1E-0A05',
  way: {
    kind: 'gpt',
    diskGuid: '0f0e0d0c-0b0a-4908-8706-050403020100',
    partitionGuid: '0f0e0d0c-0b0a-4908-8706-0504030201ff',
  },
  files: [
    { path: 'vmlinuz', from: '/vmlinuz' },
    { path: 'grub/grub.cfg', text: 'boot\n' },
  ],
  data: [{ path: 'image', from: '/image' }],
  secrets: ['/config.json', '/keyfile'],
};

const fat = (): string => `${disk}@@${fatStart}`;

async function copy(name: string, contents: Uint8Array): Promise<void> {
  const source = join(work, 'source');
  await writeFile(source, contents);
  execFileSync('mcopy', ['-o', '-i', fat(), source, `::/${name}`]);
}

const sealOf = (planId: string): Uint8Array => {
  const file = (path: string, bytes: Buffer): SealedFile => ({
    path,
    sizeBytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
  });
  return serializeLifeboatSeal({ planId, files: [file('vmlinuz', kernel)] });
};

/** Fills the FAT with pieces of that size, and then frees some. */
async function fillUp(pieceMib: number, isFree: (number: number) => boolean): Promise<void> {
  const count = Math.floor(fatBytes / mebibyte / pieceMib) - 1;
  const piece = Buffer.alloc(pieceMib * mebibyte);
  for (let number = 0; number < count; number += 1) await copy(`piece-${number}`, piece);
  for (let number = 0; number < count; number += 1)
    if (isFree(number)) execFileSync('mdel', ['-i', fat(), `::/piece-${number}`]);
}

async function diskWithFat(reservedMib = 45, prepare: () => Promise<void> = async () => {}): Promise<void> {
  disk = join(work, 'disk');
  const file = await open(disk, 'w');
  await file.truncate(diskBytes);
  await file.close();
  const blocks = String(fatBytes / 1024);
  execFileSync('mkfs.vfat', ['-F', '32', '-s', '4', '--offset', String(fatStart / 512), disk, blocks], {
    stdio: 'pipe',
  });
  await prepare();
  await copy('image', image);
  await copy('config.json', secret);
  await copy('vmlinuz', kernel);
  await copy('keyfile', secret);
  await copy('seal.json', sealOf('a-plan'));
  await copy('volume.img', Buffer.alloc(reservedMib * mebibyte));
}

const fill = (change: Partial<StepOf<'fill-lifeboat'>> = {}) =>
  fillLifeboat({ host, emit: () => {}, planId: 'a-plan', step: { ...step, ...change }, diskPath: disk });

/** All that is not the reserved file's. */
async function outside(): Promise<string> {
  const reader = await host.openRead(disk);
  const volume = await openFat(windowOf(reader, fatStart, fatBytes));
  const entry = await volume.find(step.path);
  if (entry === undefined) throw new Error('it is there');
  const ranges = await volume.rangesOf(entry);
  await reader.close();
  const bytes = await readFile(disk);
  for (const { startByte, endByte } of ranges) bytes.fill(0, fatStart + startByte, fatStart + endByte);
  return createHash('sha256').update(bytes).digest('hex');
}

describe('a lifeboat made in a file of a FAT', () => {
  it('is whole on the bare disk, and nothing but that file is changed', async () => {
    await diskWithFat();
    const before = await outside();
    const { startByte, switch: sector } = await fill();
    expect(await outside()).toBe(before);
    const reader = await host.openRead(disk);
    const record = await proveLifeboat(reader, { startByte, planId: 'a-plan' }, () => {});
    expect(record.startByte % mebibyte).toBe(0);
    const volume = await openFat(windowOf(reader, startByte, record.sizeBytes));
    expect(Buffer.from(await volume.readFile('/vmlinuz')).equals(kernel)).toBe(true);
    expect(Buffer.from(await volume.readFile('/grub/grub.cfg')).toString()).toBe('boot\n');
    const found = await readExactly(windowsOf(reader, piecesOfFile(record, 'image')), 0, image.length);
    expect(found?.equals(image)).toBe(true);
    // The header names the table of entries in the lifeboat's reserved sectors.
    expect(Buffer.from(sector.bytes, 'base64').readBigUInt64LE(72)).toBe(BigInt(startByte / 512 + 16));
    expect(record.secrets).toHaveLength(2);
    for (const place of record.secrets ?? [])
      expect(await readExactly(reader, place.startByte, place.sizeBytes)).toEqual(secret);
    await reader.close();
    expect(execFileSync('fsck.vfat', ['-n', '-v', await partOf(startByte, record.sizeBytes)]).toString()).toMatch(
      /32 bit entries/,
    );
  });

  it('has an image in several pieces where the FAT had no room for it in one', async () => {
    await diskWithFat(45, () =>
      // Holes of 3 MiB for the files, and 51 MiB in one.
      fillUp(3, (number) => [0, 2, 4].includes(number) || (number >= 20 && number < 37)),
    );
    const record = await fill();
    expect(piecesOfFile(record, 'image').length).toBeGreaterThan(1);
    const reader = await host.openRead(disk);
    const { startByte } = record;
    expect((await proveLifeboat(reader, { startByte, planId: 'a-plan' }, () => {})).pieces).toEqual(record.pieces);
    await reader.close();
  });

  it.each<[string, () => Promise<unknown>, MigrateError['code'], RegExp]>([
    [
      'whose file lies in pieces that are too small',
      async () => {
        await diskWithFat(45, () => fillUp(8, (number) => number % 2 === 0));
        return fill();
      },
      'no-space',
      /in one piece: it lies in \d+/,
    ],
    [
      'whose file lies where the image will be',
      async () => {
        await diskWithFat();
        return fill({ fromByte: 200 * mebibyte });
      },
      'no-space',
      /behind byte 209715200 of the disk/,
    ],
    [
      'whose image lies where the image will be',
      async () => {
        await diskWithFat();
        return fill({ fromByte: fatStart + 8 * mebibyte });
      },
      'no-space',
      /image lies at byte \d+ of the disk, where the image will be/,
    ],
    [
      'where the FAT is larger than its partition',
      async () => {
        await diskWithFat();
        return fill({ partitionBytes: fatBytes - mebibyte });
      },
      'invalid-input',
      /more than the \d+ of its partition/,
    ],
    [
      'where a file has changed since',
      async () => {
        await diskWithFat();
        await copy('vmlinuz', Buffer.from(kernel).fill('x', 0, 1));
        return fill();
      },
      'verify-mismatch',
      /vmlinuz of the lifeboat has changed since stage 1/,
    ],
    [
      'where a file has another size',
      async () => {
        await diskWithFat();
        await copy('vmlinuz', kernel.subarray(1));
        return fill();
      },
      'verify-mismatch',
      /vmlinuz of the lifeboat has changed since stage 1/,
    ],
    [
      'of another plan',
      async () => {
        await diskWithFat();
        await copy('seal.json', sealOf('another-plan'));
        return fill();
      },
      'verify-mismatch',
      /are not what stage 1 wrote/,
    ],
    [
      'of which a file is missing',
      async () => {
        await diskWithFat();
        execFileSync('mdel', ['-i', fat(), '::/image']);
        return fill();
      },
      'not-found',
      /there is no file \/image/,
    ],
  ])('is refused %s', async (_, act, code, message) => {
    await expect(act()).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });
});

async function partOf(startByte: number, sizeBytes: number): Promise<string> {
  const path = join(work, 'part');
  await writeFile(path, (await readFile(disk)).subarray(startByte, startByte + sizeBytes));
  return path;
}
