// A lifeboat that stage 2 makes over a full ext4, on a disk in a file.
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { copyFile, open, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  createNodeHost,
  emptyGrubEnvironment,
  type Host,
  type LifeboatRecord,
  type Plan,
  parseGrubEnvironment,
  piecesOfFile,
  type StepContext,
  type StepOf,
  serializeLifeboatSeal,
  setGrubVariable,
} from '@migrate/core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeExt4 } from '../ext4/ext4-fixture.ts';
import { findLatePlace, type LateLifeboatRequest, makeLateLifeboat } from './late-lifeboat.ts';
import { proveLifeboat } from './prove-lifeboat.ts';
import { lateLifeboatSteps } from './steps-late-lifeboat.ts';

const mebibyte = 1024 * 1024;
const partitionStart = mebibyte;
const partitionBytes = 150 * mebibyte;
const diskBytes = partitionStart + partitionBytes;
const planId = 'plan';
const image = randomBytes(9_000_001);
const environmentPath = '/boot/grub/grubenv';

let work: string;
let disk: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'late-lifeboat-'));
  const tree = join(work, 'tree');
  for (const path of ['boot/grub', 'state', 'data']) mkdirSync(join(tree, path), { recursive: true });
  const bootSector = Buffer.alloc(512);
  bootSector.writeUInt16LE(0xaa55, 510);
  const files: Record<string, Uint8Array> = {
    'boot/kernel': randomBytes(2_000_000),
    'boot/initramfs': randomBytes(3_000_000),
    'boot/grub/grubenv': Buffer.from(emptyGrubEnvironment, 'latin1'),
    'state/boot.img': bootSector,
    'state/core.img': randomBytes(30_000),
    'state/image': image,
  };
  const sealed = ['boot/kernel', 'boot/initramfs', 'state/boot.img', 'state/core.img'].map((path) => {
    const bytes = files[path] ?? Buffer.alloc(0);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { path: `/${path}`, sizeBytes: bytes.length, sha256 };
  });
  const seal = (of: string, changed?: string): Uint8Array =>
    serializeLifeboatSeal({
      planId: of,
      files: sealed.map((file) => (file.path === changed ? { ...file, sha256: 'a'.repeat(64) } : file)),
    });
  files['state/seal'] = seal(planId);
  files['state/seal-of-another'] = seal('another plan');
  files['state/initramfs-changed'] = seal(planId, '/boot/initramfs');
  files['state/core-changed'] = seal(planId, '/state/core.img');
  const full = setGrubVariable(emptyGrubEnvironment, 'saved_entry', { value: 'x'.repeat(470), path: environmentPath });
  files['boot/grub/full'] = Buffer.from(full, 'latin1');
  // So full that no run of free blocks is left for it.
  for (let index = 0; index < 12; index += 1) files[`data/${index}`] = randomBytes(9_000_000);
  for (const [path, bytes] of Object.entries(files)) writeFileSync(join(tree, path), bytes);
  disk = join(work, 'disk');
  const partition = join(work, 'partition');
  makeExt4(partition, partitionBytes / 1024, ['-t', 'ext4', '-m', '0', '-d', tree]);
  execFileSync('dd', [`if=${partition}`, `of=${disk}`, 'bs=1M', 'seek=1', 'conv=sparse,notrunc', 'status=none']);
});
afterAll(() => rmSync(work, { recursive: true, force: true }));

const description: StepOf<'find-lifeboat-place'> = {
  kind: 'find-lifeboat-place',
  id: 'find-lifeboat-place',
  fileSystem: { startByte: partitionStart, sizeBytes: partitionBytes },
  fromByte: 48 * mebibyte,
  toByte: diskBytes,
  serial: 'BA1E-0A05',
  way: { kind: 'mbr', bootImage: '/state/boot.img', coreImage: '/state/core.img', diskId: 'b0b0b0b0' },
  files: [
    { path: 'vmlinuz', from: '/boot/kernel' },
    { path: 'stage2.img', from: '/boot/initramfs' },
    { path: 'grub/grub.cfg', text: 'boot\n' },
  ],
  data: [{ path: 'image', from: '/state/image', sha256: createHash('sha256').update(image).digest('hex') }],
  sealPath: '/state/seal',
  keeps: { required: ['/boot', '/state'], optional: [] },
};

async function request(
  name: string,
  changes: Partial<StepOf<'find-lifeboat-place'>> = {},
  host: Host = createNodeHost(),
): Promise<LateLifeboatRequest> {
  const diskPath = join(work, name);
  await copyFile(disk, diskPath);
  return { host, emit: () => {}, diskPath, diskBytes, planId, description: { ...description, ...changes } };
}

function partitionOf(path: string): string {
  const partition = `${path}.partition`;
  execFileSync('dd', [`if=${path}`, `of=${partition}`, 'bs=1M', 'skip=1', 'conv=sparse', 'status=none']);
  return partition;
}

function fileIn(partition: string, path: string): Buffer {
  execFileSync('debugfs', ['-R', `dump ${path} ${partition}.file`, partition], { stdio: 'pipe' });
  return readFileSync(`${partition}.file`);
}

async function bytesOf(path: string, record: LifeboatRecord, name: string): Promise<Buffer> {
  const file = await open(path);
  const parts: Buffer[] = [];
  for (const { startByte, sizeBytes } of piecesOfFile(record, name)) {
    const part = Buffer.alloc(sizeBytes);
    await file.read(part, 0, sizeBytes, startByte);
    parts.push(part);
  }
  await file.close();
  return Buffer.concat(parts);
}

describe('a lifeboat over a file system without room for it', () => {
  it('lies behind the image, is whole, and leaves the structure of the file system and what boots it', async () => {
    const made = await request('whole');
    const record = await makeLateLifeboat(made);
    expect(Math.min(...record.pieces.map(({ startByte }) => startByte))).toBeGreaterThanOrEqual(description.fromByte);
    expect((await bytesOf(made.diskPath, record, 'image')).equals(image)).toBe(true);
    const [before, after] = [partitionOf(disk), partitionOf(made.diskPath)];
    execFileSync('e2fsck', ['-fn', after], { stdio: 'pipe' });
    for (const path of ['/boot/kernel', '/boot/initramfs', environmentPath, '/state/image', '/state/core.img'])
      expect(fileIn(after, path).equals(fileIn(before, path)), path).toBe(true);
    const hurt = Array.from({ length: 12 }, (_, index) => `/data/${index}`).filter(
      (path) => !fileIn(after, path).equals(fileIn(before, path)),
    );
    expect(hurt).not.toEqual([]);
  });

  it('lies where it was found before, and where a stage 2 that was cut had begun it', async () => {
    const made = await request('again');
    const record = await findLatePlace(made);
    // It breaks off in the middle of a piece.
    let left = 8 * mebibyte;
    const host = createNodeHost();
    const cut: Host = {
      ...host,
      openDisk: async (path) => {
        const file = await host.openDisk(path);
        return {
          ...file,
          write: async (bytes, position) => {
            left -= bytes.length;
            if (left < 0) throw new Error('the power is cut');
            await file.write(bytes, position);
          },
        };
      },
    };
    await expect(makeLateLifeboat({ ...made, host: cut })).rejects.toThrow('the power is cut');
    const again = await makeLateLifeboat(made);
    expect(again).toMatchObject(record);
    const reader = await host.openRead(made.diskPath);
    expect(await proveLifeboat(reader, { startByte: record.startByte, planId }, () => {})).toEqual(again);
    await reader.close();
  });

  it.each([
    [
      'the image is not the one that was proven',
      { data: [{ path: 'image', from: '/boot/kernel', sha256: 'a'.repeat(64) }] },
      'verify-mismatch',
    ],
    ['nothing behind the image has room', { fromByte: 130 * mebibyte }, 'no-space'],
    ['everything is to be kept', { keeps: { required: ['/'], optional: [] } }, 'no-space'],
    ['what is to be kept is missing', { keeps: { required: ['/boot', '/nowhere'], optional: [] } }, 'not-found'],
    ['a part of it is missing', { files: [{ path: 'vmlinuz', from: '/boot/nothing' }] }, 'not-found'],
  ] satisfies readonly (readonly [string, Partial<StepOf<'find-lifeboat-place'>>, string])[])(
    'is not made where %s',
    async (name, changes, code) => {
      await expect(makeLateLifeboat(await request(name.replaceAll(' ', '-'), changes))).rejects.toMatchObject({ code });
    },
  );
});

describe('the search for its place, which comes before the old system is given up', () => {
  const search = async (
    name: string,
    changes: Partial<StepOf<'find-lifeboat-place'>>,
    rearming: Partial<StepOf<'rearm-grub'>> = {},
  ): Promise<void> => {
    const { host, diskPath, description: step } = await request(name, changes);
    const { fileSystem } = description;
    const plan = {
      id: planId,
      target: { sizeBytes: diskBytes },
      stage2: [
        step,
        {
          ...{ kind: 'rearm-grub', id: 'rearm-grub', fileSystem, pathInFileSystem: environmentPath },
          ...{ name: 'migrate_always', value: 'balena-migrate-0', ...rearming },
        },
      ],
    } as unknown as Plan;
    const log = (): Uint8Array => new Uint8Array();
    const keepLifeboat = async (): Promise<void> => {};
    const context: StepContext = { host, plan, emit: () => {}, targetPath: diskPath, log, keepLifeboat };
    await lateLifeboatSteps['find-lifeboat-place'].apply(step, context);
    expect((await readFile(diskPath)).equals(await readFile(disk))).toBe(true);
  };

  it('writes nothing', () => search('found', {}));

  it.each([
    ['initramfs has changed', { sealPath: '/state/initramfs-changed' }, /stage2\.img of the lifeboat has changed/],
    ['boot loader has changed', { sealPath: '/state/core-changed' }, /core\.img of the lifeboat has changed/],
    ['file was not sealed', { files: [{ path: 'vmlinuz', from: '/data/0' }] }, /stage 1 has not sealed \/data\/0/],
    ['seal is of another plan', { sealPath: '/state/seal-of-another' }, /not what stage 1 wrote/],
    ['seal is missing', { sealPath: '/state/nothing' }, /no file \/state\/nothing/],
  ] satisfies readonly (readonly [string, Partial<StepOf<'find-lifeboat-place'>>, RegExp])[])(
    'gives way where a %s',
    async (name, changes, message) => {
      await expect(search(name.replaceAll(' ', '-'), changes)).rejects.toThrow(message);
    },
  );

  it('gives way where GRUB could not be rearmed by one sector', async () => {
    await expect(search('full', {}, { pathInFileSystem: '/boot/grub/full' })).rejects.toThrow(
      /migrate_always does not fit into one sector of \/boot\/grub\/full/,
    );
  });
});

describe('GRUB, told to start stage 2 every time', () => {
  const step: StepOf<'rearm-grub'> = {
    kind: 'rearm-grub',
    id: 'rearm-grub',
    fileSystem: description.fileSystem,
    pathInFileSystem: environmentPath,
    name: 'migrate_always',
    value: 'balena-migrate-0',
  };
  const rearm = async (path: string): Promise<void> => {
    const host = createNodeHost();
    const context: StepContext = {
      host,
      plan: {} as Plan,
      emit: () => {},
      targetPath: path,
      log: () => new Uint8Array(),
    };
    await lateLifeboatSteps['rearm-grub'].apply(step, context);
  };

  it('reads it in its environment block, and one sector of the disk differs', async () => {
    const { diskPath } = await request('rearmed');
    await rearm(diskPath);
    const block = fileIn(partitionOf(diskPath), environmentPath).toString('latin1');
    expect(block).toHaveLength(emptyGrubEnvironment.length);
    expect(parseGrubEnvironment(block, environmentPath).get('migrate_always')).toBe('balena-migrate-0');
    const [before, after] = [await readFile(disk), await readFile(diskPath)];
    const sectors = Array.from({ length: diskBytes / 512 }, (_, sector) => sector * 512).filter(
      (start) => before.compare(after, start, start + 512, start, start + 512) !== 0,
    );
    expect(sectors).toHaveLength(1);
    await rearm(diskPath);
    expect((await readFile(diskPath)).equals(after)).toBe(true);
  });
});
