import { execFileSync } from 'node:child_process';
import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ByteReader } from '../host/host.ts';
import { readerOf } from './byte-reader.ts';
import { readFileSystemSignature } from './file-system-signature.ts';

const mebibyte = 1024 * 1024;
const uuid = '01234567-89ab-4def-8123-456789abcdef';
// Some tools take their time on a busy machine.
let directory: string;
// In memory where possible: the tools flush what they write.
beforeAll(() => {
  directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'signatures-'));
  mkdirSync(join(directory, 'tree'));
  writeFileSync(join(directory, 'tree', 'file'), 'contents');
});
afterAll(() => rmSync(directory, { recursive: true }));

function sparseFile(sizeMib: number): string {
  const path = join(directory, `image-${Math.random()}`);
  const descriptor = openSync(path, 'w');
  ftruncateSync(descriptor, sizeMib * mebibyte);
  closeSync(descriptor);
  return path;
}

async function signatureOf(path: string): Promise<object | undefined> {
  const descriptor = openSync(path, 'r');
  const { length } = readFileSync(path);
  const reader: ByteReader = {
    sizeBytes: length,
    read: async (target, position) => readSync(descriptor, target, 0, target.length, position),
    close: async () => {},
  };
  try {
    return await readFileSystemSignature(reader, 0, length);
  } finally {
    closeSync(descriptor);
  }
}

/** What libblkid, which udev asks for /dev/disk/by-uuid and by-label, says. */
function blkid(path: string): object {
  const text = execFileSync('blkid', ['-p', '-o', 'export', path]).toString();
  const values = new Map(
    text.split('\n').map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1).replaceAll('\\', '')]),
  );
  const [type, id, label] = ['TYPE', 'UUID', 'LABEL'].map((key) => values.get(key));
  return { type, ...(id === undefined ? {} : { uuid: id }), ...(label === undefined ? {} : { label }) };
}

const tools: readonly (readonly [string, number, string, string])[] = [
  ['ext4', 16, 'mkfs.ext4 -q -F -L resin-data $0', 'ext4'],
  ['ext4 with 1 KiB blocks and without journal', 16, 'mkfs.ext4 -q -F -b 1024 -O ^has_journal $0', 'ext4'],
  ['ext4 of old balenaOS, without 64bit', 16, 'mkfs.ext4 -q -F -O ^64bit,^metadata_csum -L resin-rootA $0', 'ext4'],
  ['ext3', 16, 'mkfs.ext3 -q -F -L old $0', 'ext3'],
  ['ext2', 16, 'mkfs.ext2 -q -F -L older $0', 'ext2'],
  ['xfs', 320, 'mkfs.xfs -q -f -L data $0', 'xfs'],
  ['btrfs', 128, 'mkfs.btrfs -q -f -L tree $0', 'btrfs'],
  ['f2fs', 64, 'mkfs.f2fs -q -f -l flash $0', 'f2fs'],
  ['FAT12', 2, 'mkfs.vfat -F 12 -n BOOT $0', 'vfat'],
  ['FAT16', 40, 'mkfs.vfat -F 16 -n resin-boot $0', 'vfat'],
  ['FAT32', 64, 'mkfs.vfat -F 32 -n SYSTEM -i 0000000f $0', 'vfat'],
  ['FAT without a label', 40, 'mkfs.vfat -F 32 $0', 'vfat'],
  ['FAT whose label was changed by mtools', 40, 'mkfs.vfat -F 16 -n BEFORE $0; mlabel -i $0 ::AFTER', 'vfat'],
  ['NTFS', 16, 'mkntfs -q -F -f $0', 'ntfs'],
  ['swap', 8, `mkswap -L swp -U ${uuid} $0`, 'swap'],
  ['swap of a machine with 64 KiB pages', 8, 'mkswap -p 65536 -L big $0', 'swap'],
  [
    'LUKS 1',
    8,
    'echo secret | cryptsetup -q --type luks1 --pbkdf-force-iterations 1000 luksFormat $0 -',
    'crypto_LUKS',
  ],
  [
    'LUKS 2',
    32,
    'echo secret | cryptsetup -q --type luks2 --pbkdf pbkdf2 --pbkdf-force-iterations 1000 --label vault luksFormat $0 -',
    'crypto_LUKS',
  ],
  ['squashfs', 0, 'mksquashfs $1 $0 -noappend -quiet -no-progress', 'squashfs'],
  ['ISO 9660', 0, 'genisoimage -quiet -V VOLUME -o $0 $1', 'iso9660'],
];

describe('what the tools make', () => {
  it.each(tools)('%s', async (_name, sizeMib, command, type) => {
    const path = sparseFile(sizeMib);
    execFileSync('sh', ['-e', '-c', command, path, join(directory, 'tree')], { stdio: 'ignore' });
    const found = await signatureOf(path);
    expect(found).toEqual(blkid(path));
    expect(found).toMatchObject({ type });
  });
});

/** An md superblock (Documentation/admin-guide/md.rst; struct mdp_superblock_1 and mdp_super_t in md_p.h). */
function mdMember(sizeMib: number, version: '0.90' | '1.0' | '1.1' | '1.2'): string {
  const path = sparseFile(sizeMib);
  // Mirrors with the superblock at their end show the file system inside at its usual place.
  execFileSync('mkfs.ext4', ['-q', '-F', path]);
  const bytes = readFileSync(path);
  const offset = {
    '0.90': Math.floor(bytes.length / 65536) * 65536 - 65536,
    '1.0': Math.floor((bytes.length / 512 - 16) / 8) * 8 * 512,
    '1.1': 0,
    '1.2': 4096,
  }[version];
  const block = Buffer.alloc(4096);
  block.writeUInt32LE(0xa92b4efc, 0);
  if (version === '0.90') {
    block.writeUInt32LE(90, 8);
    [0x01234567, 0x89abcdef, 0x01234567, 0x89abcdef].forEach((word, index) => {
      block.writeUInt32LE(word, [20, 52, 56, 60][index] ?? 0);
    });
  } else {
    block.writeUInt32LE(1, 4);
    block.write(uuid.replaceAll('-', ''), 16, 'hex');
    block.write('host:0', 32);
    block.writeBigUInt64LE(BigInt(offset / 512), 144);
    block.writeUInt32LE(mdChecksum(block.subarray(0, 256)), 216);
  }
  block.copy(bytes, offset, 0, Math.min(block.length, bytes.length - offset));
  writeFileSync(path, bytes);
  return path;
}

function mdChecksum(block: Buffer): number {
  let sum = 0;
  for (let offset = 0; offset < 256; offset += 4) sum += block.readUInt32LE(offset);
  return ((sum % 2 ** 32) + Math.floor(sum / 2 ** 32)) >>> 0;
}

describe('RAID members', () => {
  it.each(['0.90', '1.0', '1.1', '1.2'] as const)(
    'of version %s are known, although a file system shows through',
    async (version) => {
      const path = mdMember(16, version);
      const found = await signatureOf(path);
      expect(found).toEqual(blkid(path));
      expect(found).toMatchObject({ type: 'linux_raid_member' });
    },
  );
});

describe('LVM', () => {
  it('is known by its label in any of the first sectors', async () => {
    for (const sector of [0, 1, 2, 3]) {
      const bytes = Buffer.alloc(8 * mebibyte);
      bytes.write('LABELONE', sector * 512);
      bytes.writeBigUInt64LE(BigInt(sector), sector * 512 + 8);
      bytes.writeUInt32LE(32, sector * 512 + 20);
      bytes.write('LVM2 001', sector * 512 + 24);
      bytes.write('0123456789abcdefghijABCDEFGHIJ01', sector * 512 + 32);
      bytes.writeUInt32LE(lvmChecksum(bytes.subarray(sector * 512 + 20, (sector + 1) * 512)), sector * 512 + 16);
      const path = sparseFile(0);
      writeFileSync(path, bytes);
      const found = await signatureOf(path);
      expect(found).toEqual({ type: 'LVM2_member', uuid: '012345-6789-abcd-efgh-ijAB-CDEF-GHIJ01' });
      // libblkid looks in the first two sectors only.
      if (sector < 2) expect(found).toEqual(blkid(path));
    }
  });
});

/** CRC-32 with LVM's own start value and without the final inversion (lib/misc/crc.c). */
function lvmChecksum(bytes: Buffer): number {
  let value = 0xf597a6cf;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit += 1) value = (value >>> 1) ^ ((value & 1) === 1 ? 0xedb88320 : 0);
  }
  return value >>> 0;
}

describe('anything else', () => {
  it('is no file system: zeros, noise, a boot record', async () => {
    const record = Buffer.alloc(mebibyte);
    record.writeUInt16LE(0xaa55, 510);
    for (const bytes of [new Uint8Array(0), new Uint8Array(100), new Uint8Array(mebibyte), record]) {
      expect(await readFileSystemSignature(readerOf(bytes), 0)).toBeUndefined();
    }
  });

  it('takes nothing at the end of a disk for the mark of a partition whose size is not given', async () => {
    const bytes = readFileSync(mdMember(16, '1.0'));
    expect(await readFileSystemSignature(readerOf(bytes), 0)).toMatchObject({ type: 'ext4' });
  });

  it('never throws, whatever is changed in a superblock', async () => {
    const path = sparseFile(2);
    execFileSync('mkfs.vfat', ['-F', '12', '-n', 'LABEL', path], { stdio: 'ignore' });
    const fat = readFileSync(path);
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.nat(8191), fc.nat(255)), { maxLength: 12 }), async (changes) => {
        const bytes = Buffer.from(fat);
        for (const [offset, value] of changes) bytes[offset] = value;
        await readFileSystemSignature(readerOf(bytes), 0);
      }),
      { numRuns: 300 },
    );
  });
});
