// Backups of trees that the kernel made, unpacked by GNU tar and, as the supervisor does, by busybox; the kernel says what is there.
import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost, type Event, type RequestedItem, type SurveyedVolume, surveyBackup } from '@migrate/core';
import { inspectImage, writeBackup } from '@migrate/image-tools';
import type { TreeRecord } from '@migrate/image-tools/tree-records';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { balenaImage } from '../balena-image.ts';
import { makeFidelityTree } from '../images/fidelity-tree.ts';
import { withMounted } from '../images/mounted.ts';
import { mountedRecords } from '../images/mounted-records.ts';
import { mountImage, unmountImage } from '../loop-device.ts';
import { loadBackup } from './supervisor-model.ts';

const mebibyte = 2 ** 20;
/** What the plan leaves free. */
const dataReserveBytes = 4 * mebibyte;
const host = createNodeHost();
let directory: string;
let source: string;
let mountedElsewhere: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'backup-disk-'));
  source = join(directory, 'source');
  for (const name of ['source', 'data', 'unpacked']) {
    const image = join(directory, `${name}.img`);
    await execa('truncate', ['--size=600M', image]);
    await execa('mkfs.ext4', ['-q', '-I', '256', '-O', '^has_journal', image]);
    await mkdir(join(directory, name));
    await mountImage(image, join(directory, name));
    await rm(join(directory, name, 'lost+found'), { recursive: true });
  }
  await makeFidelityTree(source, { blockBytes: 4096, largestAttribute: 3000 });
  await symlink('/etc/hostname', join(source, 'absolute'));
  await symlink('../../up', join(source, 'upwards'));
  mountedElsewhere = join(source, 'mounted');
  await mkdir(mountedElsewhere);
  await execa('mount', ['-t', 'tmpfs', 'tmpfs', mountedElsewhere]);
  await writeFile(join(mountedElsewhere, 'other'), 'of another file system');
});
afterAll(async () => {
  await execa('umount', [mountedElsewhere]);
  for (const name of ['source', 'data', 'unpacked']) await unmountImage(join(directory, name));
  await rm(directory, { recursive: true });
});

const removeLoaded = () => rm(join(directory, 'data/backup'), { recursive: true, force: true });
afterEach(removeLoaded);

async function backUp(volumes: Readonly<Record<string, readonly RequestedItem[]>>) {
  const request = Object.entries(volumes).map(([name, items]) => ({ name, items }));
  const { survey, findings } = await surveyBackup(host, request, []);
  if (survey === undefined) throw new Error(JSON.stringify(findings));
  const events: Event[] = [];
  const emit = (event: Event): void => void events.push(event);
  const to = join(directory, 'data/backup.tgz');
  const made = await writeBackup(
    host,
    { volumes: survey.volumes as readonly SurveyedVolume[], leaveOut: [], emit },
    { to, limitBytes: survey.archiveBytes },
  );
  const notes = events.flatMap((event) => (event.kind === 'note' ? [event.text] : []));
  return { survey, findings, notes, made, to };
}

/** What a tar must restore of a tree; what no backup holds is not among it. */
function expected(records: readonly TreeRecord[], tar: 'gnu' | 'busybox') {
  return records
    .filter(({ kind, path }) => !/socket|device/.test(kind) && !path.startsWith('/mounted') && path !== '/link-4095')
    .map((record) => comparable(record, tar));
}

/** busybox knows no extended attributes, and fills directories after it has set their times. */
function comparable(record: TreeRecord, tar: 'gnu' | 'busybox') {
  const { path, kind, mode, owner, sizeBytes, links, sha256, target, attributes, modifiedNs } = record;
  return {
    path,
    kind,
    mode: mode.toString(8),
    owner,
    sizeBytes,
    links,
    sha256,
    target,
    // Whole seconds, towards 0.
    ...(kind === 'symlink' || (kind === 'directory' && tar === 'busybox')
      ? {}
      : { modifiedS: modifiedNs / 1_000_000_000n }),
    ...(tar === 'gnu' ? { attributes } : {}),
  };
}

describe('a tree with all that archives tend to lose', () => {
  it('is what GNU tar unpacks, with extended attributes, and what the supervisor gets without them', async () => {
    const { survey, findings, notes, made, to } = await backUp({ data: [{ source, target: [] }] });
    expect(findings.map(({ code, where }) => `${code} ${where.replace(source, '')}`).sort()).toEqual([
      'backup-left-out /far-device',
      // Its target has 4095 bytes.
      'backup-left-out /link-4095',
      'backup-left-out /socket',
      'backup-other-file-system /mounted',
    ]);
    expect(notes).toEqual([]);
    expect((await stat(to)).size).toBe(made.sizeBytes);
    expect((await stat(to)).mode & 0o777).toBe(0o600);
    expect(survey.archiveBytes).toBeGreaterThan(made.sizeBytes);
    expect(survey.volumes[0]?.contentBytes).toBeGreaterThan(100 * mebibyte);

    const wanted = await mountedRecords(source);
    const byGnu = join(directory, 'unpacked');
    const all = ['--xattrs', '--xattrs-include=*', '--acls', '--numeric-owner', '--same-permissions', '--same-owner'];
    await execa('tar', ['-xzf', to, ...all, '-C', byGnu]);
    const unpacked = await mountedRecords(join(byGnu, 'data'));
    expect(unpacked.map((record) => comparable(record, 'gnu'))).toEqual(expected(wanted, 'gnu'));

    const volumes = await loadBackup(join(directory, 'data'), ['data', 'another']);
    expect([...volumes.keys()]).toEqual(['data']);
    const loaded = await mountedRecords(volumes.get('data') ?? '');
    expect(loaded.map((record) => comparable(record, 'busybox'))).toEqual(expected(wanted, 'busybox'));
  });
});

describe('resin-data of an image', () => {
  it('takes a file as large as the image is said to have room for, and not much more', async () => {
    const { raw } = await balenaImage({ table: 'mbr', deviceType: 'genericx86-64-ext', payloadMib: 8 });
    const image = join(directory, 'balena.img');
    await execa('cp', ['--sparse=always', raw, image]);
    const reader = await host.openRead(image);
    const { table, labels, dataFreeBytes = 0 } = await inspectImage(reader);
    await reader.close();
    const data = table.partitions[labels['resin-data'] ?? -1];
    expect(dataFreeBytes).toBeGreaterThan(mebibyte);
    const part = { image, offsetBytes: data?.startByte ?? 0, sizeBytes: data?.sizeBytes ?? 0, readOnly: false };
    await withMounted({ ...part, directory: join(directory, 'mounted-data') }, async (root) => {
      const fill = (bytes: number) =>
        execa('dd', [
          'if=/dev/zero',
          `of=${join(root, 'backup.tgz')}`,
          'bs=64K',
          `count=${bytes}`,
          'iflag=count_bytes',
        ]);
      await fill(dataFreeBytes - dataReserveBytes);
      await rm(join(root, 'backup.tgz'));
      await execa('sync', ['--file-system', root]);
      await expect(fill(dataFreeBytes + 2 * dataReserveBytes)).rejects.toThrow('No space left on device');
    });
  });
});

describe('volumes as they are asked for', () => {
  it('are what the supervisor makes, with targets and filters', async () => {
    const { to } = await backUp({
      files: [
        { source: join(source, 'short'), target: [] },
        { source: join(source, 'many'), target: ['old', 'names'], filter: '/many/1[0-9]-' },
      ],
      'links-1.0': [{ source: join(source, 'directory'), target: [] }],
    });
    const volumes = await loadBackup(join(directory, 'data'), ['files', 'links-1.0']);
    const names = async (volume: string): Promise<string[]> =>
      (await mountedRecords(volumes.get(volume) ?? '')).map(({ path }) => path.replace(/x+$/, ''));
    expect(await names('files')).toEqual([
      '/old',
      '/old/names',
      ...[10, 11, 12, 13, 15, 16, 17, 18, 19].map((index) => `/old/names/${index}-`),
      '/short',
    ]);
    expect(await names('links-1.0')).toEqual(['/empty', '/hard-link-1', '/hard-link-2', '/hard-link-3']);
    // The volume itself is as the directory was.
    expect((await stat(volumes.get('links-1.0') ?? '')).mode & 0o7777).toBe(0o3777);
    await removeLoaded();
    // A release without one of the volumes makes the supervisor give up; the model must see that.
    await expect(loadBackup(join(directory, 'data'), ['files'])).rejects.toThrow('not in target state');
    expect((await readFile(to)).subarray(0, 2)).toEqual(Buffer.from([0x1f, 0x8b]));
  });
});
