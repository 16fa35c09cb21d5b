import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MigrateError } from '../error.ts';
import { readerOf } from './byte-reader.ts';
import { readFileSystemSignature } from './file-system-signature.ts';
import { readPartitionTable } from './partition-table.ts';

const mebibyte = 1024 * 1024;
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'tables-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function file(sizeMib: number): string {
  const path = join(directory, `f${Math.random()}`);
  const descriptor = openSync(path, 'w');
  ftruncateSync(descriptor, sizeMib * mebibyte);
  closeSync(descriptor);
  return path;
}

/** A table made by sfdisk, as bytes. */
function sfdisk(script: string, sizeMib = 16): Buffer {
  const path = file(sizeMib);
  execFileSync('sfdisk', ['-q', path], { input: script });
  return readFileSync(path);
}

const mbr = () =>
  sfdisk(
    'label: dos\nlabel-id: 0xb0b0b0b0\nstart=2048,size=2048,type=c,bootable\nstart=4096,size=2048,type=83\nstart=8192,size=16384,type=5\nstart=10240,size=2048,type=83\nstart=14336,size=2048,type=82\n',
  );
const gpt = () =>
  sfdisk(
    'label: gpt\nlabel-id: 7A7A7A7A-0000-4000-8000-000000000001\nstart=2048,size=2048,type=uefi,name=resin-boot,uuid=11111111-2222-4333-8444-555555555555\nstart=4096,size=2048,type=linux,name=resin-rootA\n',
  );

describe('MBR', () => {
  it('reads primary and logical partitions as Linux numbers them', async () => {
    const table = await readPartitionTable(readerOf(mbr()), 512);
    expect(table).toMatchObject({ kind: 'mbr', id: 'b0b0b0b0' });
    expect(
      table?.partitions.map(({ number, startByte, sizeBytes, type, uuid, bootable }) => [
        number,
        startByte,
        sizeBytes,
        type,
        uuid,
        bootable,
      ]),
    ).toEqual([
      [1, mebibyte, mebibyte, '0c', 'b0b0b0b0-01', true],
      [2, 2 * mebibyte, mebibyte, '83', 'b0b0b0b0-02', false],
      [3, 4 * mebibyte, 8 * mebibyte, '05', 'b0b0b0b0-03', false],
      [5, 5 * mebibyte, mebibyte, '83', 'b0b0b0b0-05', false],
      [6, 7 * mebibyte, mebibyte, '82', 'b0b0b0b0-06', false],
    ]);
  });

  it('refuses a chain of extended boot records that bites its tail', async () => {
    const bytes = mbr();
    // The second record's link leads back to the first.
    bytes.writeUInt8(5, 10240 * 512 - 1024 * 512 + 0x1be + 16 + 4);
    const ebr = 8192 * 512;
    bytes.writeUInt32LE(0, ebr + 0x1be + 16 + 8);
    await expect(readPartitionTable(readerOf(bytes), 512)).rejects.toThrow(/does not end/);
  });

  it('refuses overlaps and partitions beyond the end', async () => {
    const overlapping = mbr();
    overlapping.writeUInt32LE(3000, 0x1be + 12);
    await expect(readPartitionTable(readerOf(overlapping), 512)).rejects.toThrow(/partitions 1 and 2 overlap/);
    await expect(readPartitionTable(readerOf(mbr().subarray(0, 7 * mebibyte)), 512)).rejects.toThrow(/beyond the end/);
  });
});

describe('GPT', () => {
  it('reads names, GUIDs and the backup', async () => {
    expect(await readPartitionTable(readerOf(gpt()), 512)).toMatchObject({
      kind: 'gpt',
      id: '7a7a7a7a-0000-4000-8000-000000000001',
      backupAtEnd: true,
      partitions: [
        {
          number: 1,
          startByte: mebibyte,
          sizeBytes: mebibyte,
          name: 'resin-boot',
          type: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
          uuid: '11111111-2222-4333-8444-555555555555',
        },
        { number: 2, name: 'resin-rootA' },
      ],
    });
  });

  it('falls back to the backup when the primary is damaged, and refuses when both are', async () => {
    const bytes = gpt();
    bytes.writeUInt8(0xff, 512 + 60);
    expect((await readPartitionTable(readerOf(bytes), 512))?.partitions).toHaveLength(2);
    bytes.writeUInt8(0xff, bytes.length - 512 + 60);
    await expect(readPartitionTable(readerOf(bytes), 512)).rejects.toThrow(/neither the primary nor the backup/);
  });

  it('sees that the backup is not at the end of a larger disk', async () => {
    expect(await readPartitionTable(readerOf(Buffer.concat([gpt(), Buffer.alloc(mebibyte)])), 512)).toMatchObject({
      backupAtEnd: false,
    });
  });

  it('reads what sgdisk makes', async () => {
    const path = file(16);
    execFileSync('sgdisk', ['-n', '3:4M:+2M', '-c', '3:däta', '-t', '3:8300', path], { stdio: 'ignore' });
    expect((await readPartitionTable(readerOf(readFileSync(path)), 512))?.partitions).toMatchObject([
      { number: 3, startByte: 4 * mebibyte, sizeBytes: 2 * mebibyte, name: 'däta' },
    ]);
  });
});

describe('hostile tables', () => {
  const bases = [mbr, gpt];
  it('give a table or one kind of error, whatever is changed', async () => {
    for (const base of bases) {
      const original = base();
      await fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(fc.nat(4 * 512 - 1), fc.nat(255)), { maxLength: 20 }), async (changes) => {
          const head = Buffer.from(original.subarray(0, 4 * 512));
          for (const [offset, value] of changes) original[offset] = value;
          try {
            await readPartitionTable(readerOf(original), 512);
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(MigrateError);
          } finally {
            original.set(head);
          }
        }),
        { numRuns: 500 },
      );
    }
  });

  it('is no table where there is no signature', async () => {
    expect(await readPartitionTable(readerOf(new Uint8Array(mebibyte)), 512)).toBeUndefined();
    expect(await readPartitionTable(readerOf(new Uint8Array(10)), 512)).toBeUndefined();
  });
});

describe('file-system signatures', () => {
  const uuid = '01234567-89ab-4def-8123-456789abcdef';
  it.each<[string, number, string[], object]>([
    ['ext4', 8, ['mkfs.ext4', '-q', '-F', '-L', 'resin-data', '-U', uuid], { type: 'ext4', uuid, label: 'resin-data' }],
    ['ext3', 8, ['mkfs.ext3', '-q', '-F', '-L', 'x', '-U', uuid], { type: 'ext3', uuid, label: 'x' }],
    ['ext2', 8, ['mkfs.ext2', '-q', '-F', '-U', uuid], { type: 'ext2', uuid }],
    ['xfs', 320, ['mkfs.xfs', '-q', '-f', '-L', 'data', '-m', `uuid=${uuid}`], { type: 'xfs', uuid, label: 'data' }],
    [
      'FAT12',
      2,
      ['mkfs.vfat', '-F', '12', '-n', 'BOOT', '-i', 'abcd1234'],
      { type: 'vfat', uuid: 'ABCD-1234', label: 'BOOT' },
    ],
    [
      'FAT16',
      40,
      ['mkfs.vfat', '-F', '16', '-n', 'resin-boot', '-i', 'abcd1234'],
      { type: 'vfat', uuid: 'ABCD-1234', label: 'resin-boot' },
    ],
    [
      'FAT32',
      40,
      ['mkfs.vfat', '-F', '32', '-n', 'ESP', '-i', '0000000f'],
      { type: 'vfat', uuid: '0000-000F', label: 'ESP' },
    ],
    ['swap', 8, ['mkswap', '-L', 'swp', '-U', uuid], { type: 'swap', uuid, label: 'swp' }],
  ])('%s', async (_name, sizeMib, [command = '', ...args], expected) => {
    const path = file(sizeMib);
    execFileSync(command, [...args, path], { stdio: 'ignore' });
    const bytes = Buffer.concat([Buffer.alloc(mebibyte), readFileSync(path).subarray(0, mebibyte)]);
    expect(await readFileSystemSignature(readerOf(bytes), mebibyte)).toEqual(expected);
  });

  it('never throws, whatever the bytes', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 3000 }),
        async (bytes) => void (await readFileSystemSignature(readerOf(bytes), 0)),
      ),
    );
    expect(await readFileSystemSignature(readerOf(new Uint8Array(0)), 0)).toBeUndefined();
  });
});
