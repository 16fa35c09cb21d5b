import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import type { Plan } from '../plan/plan.ts';
import type { StepContext } from './execute.ts';
import { stage2Steps, usersOfDisk } from './steps-stage2.ts';

const image = new Uint8Array(3_000_000).map((_, index) => index % 251);
const sha256 = createHash('sha256').update(image).digest('hex');

function context(files: Record<string, string | Uint8Array>): StepContext {
  const host = createMemoryHost({ files: { '/migrate/ram/keep': '', ...files } });
  return {
    host,
    plan: {} as Plan,
    emit: () => {},
    log: () => new Uint8Array(),
    oldRoot: '/migrate/old',
    ramDirectory: '/migrate/ram',
    targetPath: '/dev/sda',
  };
}

function load(sizeBytes: number, digest: string) {
  return {
    kind: 'load-payload',
    id: 'l',
    files: [{ name: 'image', pathInFileSystem: '/root/i.gz', sizeBytes, sha256: digest }],
  } as const;
}

describe('load-payload', () => {
  it('copies to RAM exactly', async () => {
    const there = context({ '/migrate/old/root/i.gz': image });
    await stage2Steps['load-payload'].apply(load(image.length, sha256), there);
    expect(Buffer.compare(Buffer.from(await there.host.readFile('/migrate/ram/image')), Buffer.from(image))).toBe(0);
  });

  it.each([
    ['a changed byte', Uint8Array.from(image).fill(9, 1_500_000, 1_500_001), image.length],
    ['a shorter file', image.subarray(0, 2_999_999), image.length],
  ])('refuses %s', async (_name, contents, size) => {
    const there = context({ '/migrate/old/root/i.gz': contents });
    await expect(stage2Steps['load-payload'].apply(load(size, sha256), there)).rejects.toThrow(
      /has changed since stage 1/,
    );
  });

  it('refuses a file that is gone', async () => {
    await expect(stage2Steps['load-payload'].apply(load(1, sha256), context({}))).rejects.toThrow(/i\.gz/);
  });
});

describe('load-backup', () => {
  const step = {
    kind: 'load-backup',
    id: 'b',
    name: 'backup.tgz',
    pathInFileSystem: '/f/backup.tgz',
    sealInFileSystem: '/f/backup.json',
    limitBytes: image.length,
  } as const;
  const seal = { planId: 'p', sizeBytes: image.length, sha256 };
  const there = (text: string, contents = image) => ({
    ...context({ '/migrate/old/f/backup.json': text, '/migrate/old/f/backup.tgz': contents }),
    plan: { id: 'p' } as Plan,
  });

  it('copies to RAM what stage 1 has sealed', async () => {
    const stage2 = there(JSON.stringify(seal));
    await stage2Steps['load-backup'].apply(step, stage2);
    expect(Buffer.from(await stage2.host.readFile('/migrate/ram/backup.tgz')).equals(Buffer.from(image))).toBe(true);
  });

  it.each([
    ['a seal of another plan', JSON.stringify({ ...seal, planId: 'q' })],
    ['more than was planned for', JSON.stringify({ ...seal, sizeBytes: image.length + 1 })],
    ['a damaged seal', '{"planId": "p"'],
    ['no seal', 'null'],
  ])('refuses %s', async (_name, text) => {
    await expect(stage2Steps['load-backup'].apply(step, there(text))).rejects.toThrow('is not what stage 1 wrote');
  });

  it('refuses an archive that is not the sealed one', async () => {
    const changed = Uint8Array.from(image).fill(9, 5, 6);
    await expect(stage2Steps['load-backup'].apply(step, there(JSON.stringify(seal), changed))).rejects.toThrow(
      /has changed since stage 1/,
    );
  });
});

describe('usersOfDisk', () => {
  it('names every user of a disk and its partitions at once', async () => {
    const { host } = context({
      '/sys/block/sda/dev': '8:0\n',
      '/sys/block/sda/sda1/dev': '8:1\n',
      '/sys/block/sda/sda2/dev': '8:2\n',
      '/sys/block/sda/sda3/dev': '8:3\n',
      '/sys/block/sda/sda3/holders/dm-0/x': '',
      '/proc/self/mountinfo': '1 1 8:1 / /mnt rw - ext4 /dev/sda1 rw\n2 1 8:17 / /other rw - ext4 /dev/sdb1 rw\n',
      '/proc/swaps': 'Filename Type\n/dev/sda2 partition 1 0 -2\n',
    });
    expect(await usersOfDisk(host, '/dev/sda')).toEqual([
      '/dev/sda1 is mounted on /mnt',
      '/dev/sda2 is swap',
      '/dev/sda3 is held by dm-0',
    ]);
    expect(await usersOfDisk(host, '/dev/sdc')).toEqual([]);
  });

  it('keeps stage 2 from flashing', async () => {
    const there = context({
      '/sys/block/sda/dev': '8:0\n',
      '/sys/block/sda/sda1/dev': '8:1\n',
      '/proc/self/mountinfo': '1 1 8:1 / /mnt rw - ext4 /dev/sda1 rw\n',
    });
    await expect(stage2Steps['release-target'].apply({ kind: 'release-target', id: 'r' }, there)).rejects.toThrow(
      '/dev/sda1 is mounted on /mnt',
    );
  });
});
