import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MigrateError } from '../error.ts';
import type { ByteReader } from '../host/host.ts';
import { createNodeHost } from '../host/host-node.ts';
import { readerOf } from './byte-reader.ts';
import { crc32 } from './crc32.ts';
import type { PartitionTable } from './partition.ts';
import { readPartitionTable } from './partition-table.ts';

const mebibyte = 1024 * 1024;
// Some tools take their time on a busy machine.
let directory: string;
// In memory where possible: the tools flush what they write.
beforeAll(() => {
  directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'edges-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

function diskOf(sizeMib: number): string {
  const path = join(directory, `disk-${Math.random()}-x`);
  const descriptor = openSync(path, 'w');
  ftruncateSync(descriptor, sizeMib * mebibyte);
  closeSync(descriptor);
  return path;
}

function sfdisk(script: string, sizeMib = 16): Buffer {
  const path = diskOf(sizeMib);
  execFileSync('sfdisk', ['-q', path], { input: script });
  return readFileSync(path);
}

/** What sfdisk itself reads in a table, in the shape of ours. */
function sfdiskReads(bytes: Buffer): readonly object[] {
  const path = diskOf(0);
  writeFileSync(path, bytes);
  const { partitiontable } = JSON.parse(execFileSync('sfdisk', ['--json', path]).toString()) as {
    partitiontable: {
      partitions: { node: string; start: number; size: number; type: string; uuid?: string }[];
    };
  };
  return partitiontable.partitions.map(({ node, start, size, type, uuid }) => ({
    number: Number(node.slice(path.length)),
    startByte: start * 512,
    sizeBytes: size * 512,
    type: uuid === undefined ? type.padStart(2, '0') : type,
    ...(uuid === undefined ? {} : { uuid: uuid.toLowerCase() }),
  }));
}

async function read(bytes: Buffer, sectorSize = 512): Promise<PartitionTable | undefined> {
  return readPartitionTable(readerOf(bytes), sectorSize);
}

describe('what sfdisk reads', () => {
  it('is what we read, for any layout', async () => {
    const kinds = fc.constantFrom<'dos' | 'gpt'>('dos', 'gpt');
    const sizes = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(kinds, sizes, async (kind, sizesMib) => {
        // An MBR needs an extended partition from the fourth on, and a gap before each logical one.
        const lines = sizesMib.map((size, index) => {
          const isLogical = kind === 'dos' && index >= 3;
          return `start=${(1 + index * 4 + (isLogical ? 1 : 0)) * 2048},size=${(isLogical ? Math.min(size, 2) : size) * 2048}`;
        });
        if (kind === 'dos' && lines.length > 3) lines.splice(3, 0, `start=${13 * 2048},size=${22 * 2048},type=5`);
        const bytes = sfdisk([`label: ${kind}`, ...lines, ''].join('\n'), 40);
        const table = await read(bytes);
        expect(table?.kind).toBe(kind === 'gpt' ? 'gpt' : 'mbr');
        expect(table?.partitions).toMatchObject(sfdiskReads(bytes));
      }),
      { numRuns: 12 },
    );
  });
});

describe('disks with sectors of 4096 bytes', () => {
  it.each([
    ['g', 'gpt', 'n\n1\n512\n+2M\nn\n2\n2048\n+1M\n', [2, 8]],
    ['o', 'mbr', 'n\np\n1\n512\n+2M\nn\ne\n2\n2048\n+8M\nn\nl\n2560\n+1M\nn\nl\n3072\n+1M\n', [2, 8, 10, 12]],
  ])('are read in their own units (fdisk %s)', async (create, kind, commands, startsMib) => {
    const path = diskOf(32);
    execFileSync('fdisk', ['-b', '4096', path], {
      input: `${create}\n${commands}w\n`,
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    const table = await read(readFileSync(path), 4096);
    expect(table?.kind).toBe(kind);
    expect(table?.partitions.map(({ startByte }) => startByte / mebibyte)).toEqual(startsMib);
    expect(table?.partitions[0]?.sizeBytes).toBe(2 * mebibyte);
    if (kind === 'gpt') expect(table?.backupAtEnd).toBe(true);
  });
});

describe('disks without a table', () => {
  it.each(['12', '16', '32'])(
    'such as FAT%s on the whole of it have none, although their boot sector has the mark of one',
    async (bits) => {
      const path = diskOf(40);
      execFileSync('mkfs.vfat', ['-F', bits, '-s', bits === '12' ? '64' : '2', path], { stdio: 'ignore' });
      expect(await read(readFileSync(path))).toBeUndefined();
    },
  );

  it('such as NTFS on the whole of it', async () => {
    const path = diskOf(8);
    execFileSync('mkntfs', ['-q', '-F', '-f', path], { stdio: 'ignore' });
    expect(await read(readFileSync(path))).toBeUndefined();
  });

  it('but an empty table is one', async () => {
    expect(await read(sfdisk('label: dos\nlabel-id: 0x0badcafe\n'))).toEqual({
      kind: 'mbr',
      id: '0badcafe',
      partitions: [],
    });
  });
});

describe('a GPT with sound checksums and mad contents', () => {
  const gpt = (): Buffer => sfdisk('label: gpt\nstart=2048,size=2048\nstart=8192,size=2048\n');

  /** Makes header and entries fit each other again after a change. */
  function seal(bytes: Buffer): Buffer {
    const header = bytes.subarray(512, 512 + 92);
    const entries = bytes.subarray(1024, 1024 + header.readUInt32LE(80) * header.readUInt32LE(84));
    header.writeUInt32LE(crc32(entries), 88);
    header.writeUInt32LE(0, 16);
    header.writeUInt32LE(crc32(header), 16);
    return bytes;
  }

  it('is refused or read, but never crashes, not even on a real file', async () => {
    const host = createNodeHost();
    const original = gpt();
    for (const lba of [0n, 1n, 2n ** 32n, 2n ** 44n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]) {
      const bytes = Buffer.from(original);
      bytes.writeBigUInt64LE(lba, 512 + 72);
      seal(bytes);
      // Without the backup, which would hide what becomes of the primary.
      bytes.fill(0, bytes.length - 512);
      const path = diskOf(0);
      writeFileSync(path, bytes);
      const reader: ByteReader = await host.openRead(path);
      await expect(readPartitionTable(reader, 512), `${lba}`).rejects.toMatchObject({ code: 'invalid-input' });
      await reader.close();
    }
  });

  it('is refused where partitions overlap, end before they start or lie outside', async () => {
    const entry = (index: number, field: 'first' | 'last'): number =>
      1024 + index * 128 + (field === 'first' ? 32 : 40);
    const changes: readonly (readonly [number, bigint])[] = [
      [entry(0, 'last'), 8192n],
      [entry(0, 'last'), 2047n],
      [entry(1, 'last'), 32768n],
      [entry(1, 'last'), 2n ** 63n],
      [entry(0, 'first'), 2n ** 64n - 1n],
    ];
    for (const [offset, lba] of changes) {
      const bytes = gpt();
      bytes.writeBigUInt64LE(lba, offset);
      await expect(read(seal(bytes)), `${offset} ${lba}`).rejects.toMatchObject({ code: 'invalid-input' });
    }
  });

  it('does not make us read without bounds', async () => {
    const bytes = gpt();
    bytes.writeUInt32LE(0xffffffff, 512 + 80);
    bytes.writeUInt32LE(0xffffff80, 512 + 84);
    let readBytes = 0;
    const plain = readerOf(bytes);
    const reader: ByteReader = {
      ...plain,
      read: (target, position) => {
        readBytes += target.length;
        return plain.read(target, position);
      },
    };
    const header = bytes.subarray(512, 512 + 92);
    header.writeUInt32LE(0, 16);
    header.writeUInt32LE(crc32(header), 16);
    await readPartitionTable(reader, 512);
    expect(readBytes).toBeLessThan(8 * mebibyte);
  });
});

describe('random bytes behind the mark of a table', () => {
  it('end in a table or one kind of error, after a bounded number of reads', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 66, maxLength: 66 }), fc.boolean(), async (entries, isExtended) => {
        const sectors = 64;
        const bytes = Buffer.alloc(sectors * 512);
        // The same bytes in each sector: what looks like a chain of records leads on and on.
        for (let sector = 0; sector < sectors; sector += 1) {
          bytes.set(entries, sector * 512 + 0x1be);
          for (const index of [0, 1, 2, 3]) {
            const offset = sector * 512 + 0x1be + index * 16;
            bytes[offset] = 0;
            bytes.writeUInt32LE((entries[index] ?? 0) % sectors, offset + 8);
            bytes.writeUInt32LE(1, offset + 12);
            if (isExtended && index === 1) bytes[offset + 4] = 5;
          }
          bytes.writeUInt16LE(0xaa55, sector * 512 + 510);
        }
        let reads = 0;
        const plain = readerOf(bytes);
        const reader: ByteReader = {
          ...plain,
          read: (target, position) => {
            reads += 1;
            return plain.read(target, position);
          },
        };
        await readPartitionTable(reader, 512).catch((thrown: unknown) => expect(thrown).toBeInstanceOf(MigrateError));
        expect(reads).toBeLessThan(4 * 130);
      }),
      { numRuns: 500 },
    );
  });
});
