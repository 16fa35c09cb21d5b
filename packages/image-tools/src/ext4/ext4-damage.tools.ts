import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readerOf } from '@migrate/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { recordsOf } from '../tree-records.ts';
import { debugfs, lookWithDebugfs, makeSmallExt4, smallExt4Options } from './ext4-fixture.ts';
import { openExt4 } from './ext4-reader.ts';

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'ext4-damage-'));
});
afterAll(() => rmSync(work, { recursive: true }));

const { checked, unchecked } = smallExt4Options;

function make(name: string, options: readonly string[], commands: readonly string[] = []): string {
  return makeSmallExt4(join(work, name), options, commands);
}

/** Opens it and reads all that there is. */
async function readAll(bytes: Uint8Array): Promise<void> {
  const volume = await openExt4(readerOf(bytes));
  await recordsOf(volume);
  await volume.usedRanges();
}

/** The first number that debugfs or dumpe2fs gives behind a phrase. */
function numberIn(text: string, phrase: RegExp): number {
  const [, digits] = phrase.exec(text) ?? [];
  if (digits === undefined) throw new Error(`no ${phrase} in ${text}`);
  return Number(digits);
}

function withBytes(original: Uint8Array, offset: number, change: (bytes: Buffer, offset: number) => void): Buffer {
  const bytes = Buffer.from(original);
  change(bytes, offset);
  return bytes;
}

function flip(bytes: Buffer, offset: number): void {
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x40;
}

const superblockByte = 1024;

describe('checksums', () => {
  it('are compared of every kind of metadata', async () => {
    const image = make('checked', checked);
    const bytes = readFileSync(image);
    await readAll(bytes);
    const look = (command: string): string => lookWithDebugfs(image, command);
    const group = execFileSync('dumpe2fs', [image], { stdio: 'pipe' }).toString();
    const fileInode = look('imap /file');
    const places: readonly (readonly [string, number])[] = [
      ['the checksum of its superblock is wrong', superblockByte + 0x78],
      ['the checksum of the descriptor of group 0 is wrong', 2048 + 0x10],
      ['the checksum of the block bitmap of group 0 is wrong', numberIn(group, /Block bitmap at (\d+)/) * 1024 + 100],
      ['the checksum of the inode bitmap of group 0 is wrong', numberIn(group, /Inode bitmap at (\d+)/) * 1024 + 2],
      [
        'its checksum is wrong',
        numberIn(fileInode, /block (\d+)/) * 1024 + numberIn(fileInode, /offset (0x[0-9a-f]+)/) + 0x18,
      ],
      ['the checksum of a block of the directory is wrong', numberIn(look('blocks /directory'), /(\d+)/) * 1024 + 9],
      ['its extents: the checksum of block', numberIn(look('ex /pieces'), /^ 0\/ 1 .*?\d+ - +\d+ +(\d+)/m) * 1024 + 16],
      ['the checksum of its attributes in block', numberIn(look('stat /file'), /File ACL: (\d+)/) * 1024 + 900],
    ];
    for (const [message, offset] of places) {
      await expect(readAll(withBytes(bytes, offset, flip)), message).rejects.toThrow(message);
    }
  });

  it('of inner blocks of hashed directories are compared too', async () => {
    const image = make('hashed', checked);
    execFileSync('e2fsck', ['-fyD', image], { stdio: 'pipe' });
    expect(lookWithDebugfs(image, 'htree_dump /directory')).toContain('Root node dump');
    const bytes = readFileSync(image);
    await readAll(bytes);
    const root = numberIn(lookWithDebugfs(image, 'blocks /directory'), /(\d+)/) * 1024;
    await expect(readAll(withBytes(bytes, root + 40, flip))).rejects.toThrow('a block of the directory is wrong');
  });

  it('of groups in the old form are compared', async () => {
    const bytes = readFileSync(make('old', ['-t', 'ext4', '-O', '^metadata_csum,uninit_bg', '-b', '1024']));
    await readAll(bytes);
    await expect(readAll(withBytes(bytes, 2048 + 0x10, flip))).rejects.toThrow('the descriptor of group 0 is wrong');
  });
});

describe('what cannot be read', () => {
  it('is refused by the name of the feature', async () => {
    const bytes = readFileSync(make('features', unchecked));
    await readAll(bytes);
    const refusals: readonly (readonly [number, RegExp])[] = [
      [0x1, /compression/],
      [0x4, /needs_recovery.*e2fsck -fy/],
      [0x8, /journal_dev/],
      [0x1000, /dirdata/],
      [0x10000, /encrypt/],
      [0x20000, /casefold/],
      [0x40000000, /unknown feature FEATURE_I30/],
      [0x20, /unknown feature FEATURE_I5/],
    ];
    for (const [bit, message] of refusals) {
      const changed = withBytes(bytes, superblockByte + 0x60, (all, at) =>
        all.writeUInt32LE(all.readUInt32LE(at) | bit, at),
      );
      const refused = expect(openExt4(readerOf(changed)), `${message}`).rejects;
      await refused.toThrow(message);
      await refused.toMatchObject({ code: 'unsupported' });
    }
    const revision = withBytes(bytes, superblockByte + 0x4c, (all, at) => all.writeUInt32LE(2, at));
    await expect(openExt4(readerOf(revision))).rejects.toThrow('revision 2');
  });

  it('is refused where it is cut off, or nothing at all', async () => {
    const bytes = readFileSync(make('whole', unchecked));
    await expect(readAll(bytes.subarray(0, -1))).rejects.toThrow('it is cut off: 1024 blocks of 1024 bytes');
    await expect(readAll(bytes.subarray(0, 1500))).rejects.toThrow('there is no superblock');
    await expect(readAll(Buffer.alloc(0))).rejects.toThrow('there is no superblock');
  });
});

describe('used ranges', () => {
  it('are refused where bitmaps cannot be trusted, while the tree is read', async () => {
    const bytes = readFileSync(make('state', unchecked));
    const [notUnmounted, withErrors] = [0, 3];
    for (const state of [notUnmounted, withErrors]) {
      const changed = withBytes(bytes, superblockByte + 0x3a, (all, at) => all.writeUInt16LE(state, at));
      const volume = await openExt4(readerOf(changed));
      expect((await recordsOf(volume)).length).toBeGreaterThan(15);
      await expect(volume.usedRanges()).rejects.toThrow('run e2fsck -fy');
    }
    const unknown = withBytes(bytes, superblockByte + 0x64, (all, at) => all.writeUInt32LE(0x80000000, at));
    await expect((await openExt4(readerOf(unknown))).usedRanges()).rejects.toThrow('FEATURE_R31');
  });

  it('are refused where a bitmap without a checksum contradicts its count', async () => {
    const image = make('bitmap', ['-t', 'ext2', '-b', '1024']);
    const bitmap = numberIn(execFileSync('dumpe2fs', [image], { stdio: 'pipe' }).toString(), /Block bitmap at (\d+)/);
    const changed = withBytes(readFileSync(image), bitmap * 1024 + 100, flip);
    await expect(readAll(changed)).rejects.toThrow('contradicts its count of free blocks');
  });
});

describe('what leads in circles', () => {
  it('is refused also below a directory that was found by its path', async () => {
    const bytes = readFileSync(make('circle-found', checked, ['ln /directory /directory/inner/again']));
    const volume = await openExt4(readerOf(bytes));
    const directory = await volume.find('/directory');
    const inner = await volume.find('/directory/inner');
    if (directory === undefined || inner === undefined) throw new Error('no directory');
    await volume.children(directory);
    await expect(volume.children(inner)).rejects.toThrow('the directory has two names');
  });

  it('is refused: directories with two names', async () => {
    for (const [name, commands] of Object.entries({
      child: ['ln /directory /directory/inner/again'],
      sibling: ['ln /directory /again'],
      root: ['ln / /directory/root'],
      'root in itself': ['ln / /root'],
    })) {
      const bytes = readFileSync(make(`circle-${name}`, checked, commands));
      await expect(readAll(bytes), name).rejects.toThrow('the directory has two names');
    }
  });

  it('is refused: files that share blocks, so that small images give no endless archives', async () => {
    const contents = join(work, 'contents');
    writeFileSync(contents, Buffer.alloc(600_000, 'c'));
    const image = make('shared', ['-t', 'ext2', '-b', '1024'], [`write ${contents} one`, 'write /dev/null twin']);
    const map = lookWithDebugfs(image, 'stat /one');
    debugfs(image, [
      `sif /twin block[IND] ${numberIn(map, /\(IND\):(\d+)/)}`,
      `sif /twin block[DIND] ${numberIn(map, /\(DIND\):(\d+)/)}`,
      'sif /twin size 600000',
    ]);
    await expect(readAll(readFileSync(image))).rejects.toThrow('files share blocks');
  });

  it('is refused: an indirect block that leads to itself', async () => {
    const image = make(
      'self',
      ['-t', 'ext2', '-b', '1024'],
      ['sif /file block[TIND] 500', 'sif /file size 0x100000000'],
    );
    const bytes = readFileSync(image);
    for (let offset = 500 * 1024; offset < 501 * 1024; offset += 4) bytes.writeUInt32LE(500, offset);
    await expect(readAll(bytes)).rejects.toThrow('it uses block 500 twice');
  });
});
