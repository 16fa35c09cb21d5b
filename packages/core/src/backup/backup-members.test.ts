import { describe, expect, test } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { backupMembers } from './backup-members.ts';
import type { RequestedItem } from './backup-request.ts';
import { surveyBackup } from './survey-backup.ts';

const machine = createMemoryHost({
  files: {
    '/srv/data/a.txt': 'aaa',
    '/srv/data/sub/b.db': 'bb',
    '/srv/data/sub/deep/c.log': 'c',
    '/srv/other/a.txt': 'other',
    '/srv/other/sub/d.txt': '',
    '/etc/machine-id': '0123\n',
    '/var/lib/balena-migrate/payload/image': 'image',
    '/var/lib/app/x': 'x',
    '/outside/secret': 'canary',
  },
  links: { '/srv/data/out': '/outside', '/srv/current': 'data' },
});

async function pathsOf(...items: (Partial<RequestedItem> & { source: string })[]): Promise<string[]> {
  const volume = { name: 'v', items: items.map((item) => ({ target: [], ...item })) };
  const leftOut: string[] = [];
  const paths: string[] = [];
  const options = {
    leaveOut: ['/var/lib/balena-migrate'],
    onLeftOut: (source: string, why: string) => leftOut.push(`${why}: ${source}`),
  };
  for await (const { path, found } of backupMembers(machine, volume, options))
    paths.push(`${path}${(found?.entry.kind ?? 'directory') === 'directory' ? '/' : ''}`);
  return [...paths, ...leftOut];
}

test('a directory’s contents become those of the volume; links stay links', async () => {
  expect(await pathsOf({ source: '/srv/data' })).toEqual([
    'v/',
    'v/a.txt',
    'v/out',
    'v/sub/',
    'v/sub/b.db',
    'v/sub/deep/',
    'v/sub/deep/c.log',
  ]);
});

test('a target is made on the way; a file keeps its name', async () => {
  expect(await pathsOf({ source: '/etc/machine-id', target: ['id', 'old'] })).toEqual([
    'v/',
    'v/id/',
    'v/id/old/',
    'v/id/old/machine-id',
  ]);
  expect(await pathsOf({ source: '/srv/data/sub', target: ['x'] })).toEqual([
    'v/',
    'v/x/',
    'v/x/b.db',
    'v/x/deep/',
    'v/x/deep/c.log',
  ]);
});

test('a filter keeps the directories that lead to something, and nothing else', async () => {
  expect(await pathsOf({ source: '/srv/data', filter: '\\.log$' })).toEqual([
    'v/',
    'v/sub/',
    'v/sub/deep/',
    'v/sub/deep/c.log',
  ]);
  expect(await pathsOf({ source: '/srv/data', filter: '/sub/deep' })).toEqual([
    'v/',
    'v/sub/',
    'v/sub/deep/',
    'v/sub/deep/c.log',
  ]);
  expect(await pathsOf({ source: '/srv/data', filter: 'nothing' })).toEqual([]);
});

test('a source that is a link stands for what it leads to', async () => {
  expect(await pathsOf({ source: '/srv/current/sub', filter: 'b.db' })).toEqual(['v/', 'v/b.db']);
  expect(await pathsOf({ source: '/srv/current' })).toContain('v/a.txt');
});

test('our own directory is left out, and said to be', async () => {
  expect(await pathsOf({ source: '/var/lib' })).toEqual(['v/', 'v/app/', 'v/app/x', 'own: /var/lib/balena-migrate']);
  expect(await pathsOf({ source: '/var/lib/balena-migrate' })).toEqual(['own: /var/lib/balena-migrate']);
});

describe('several items of one volume', () => {
  test('share directories', async () => {
    const paths = await pathsOf(
      { source: '/etc/machine-id' },
      { source: '/srv/other/sub', target: ['sub', 'deep'] },
      { source: '/srv/data' },
    );
    expect(paths).toEqual([
      'v/',
      'v/a.txt',
      'v/out',
      'v/sub/',
      'v/sub/b.db',
      'v/sub/deep/',
      'v/sub/deep/c.log',
      'v/machine-id',
      'v/sub/deep/d.txt',
    ]);
  });

  test('may not both have one name', async () => {
    await expect(pathsOf({ source: '/srv/data' }, { source: '/srv/other' })).rejects.toThrow(
      '/srv/data and /srv/other/a.txt would both become "v/a.txt"',
    );
    await expect(pathsOf({ source: '/srv/data' }, { source: '/srv/other', target: ['out'] })).rejects.toThrow(
      'would both become "v/out"',
    );
  });
});

test('a source that is not there is refused', async () => {
  await expect(pathsOf({ source: '/nothing' })).rejects.toThrow('/nothing does not exist');
});

describe('the survey', () => {
  const survey = (...volumes: { name: string; items: RequestedItem[] }[]) =>
    surveyBackup(machine, volumes, ['/var/lib/balena-migrate']);

  test('counts files and bytes, and finds what is wrong all at once', async () => {
    const { survey: found, findings } = await survey({ name: 'v', items: [{ source: '/srv/data', target: [] }] });
    expect(found).toMatchObject({ volumes: [{ name: 'v', files: 4, contentBytes: 6 }], isMeasured: false });
    expect(findings).toEqual([]);
    const wrong = await survey(
      { name: 'a', items: [{ source: '/nothing', target: [] }] },
      { name: 'b', items: [{ source: '/srv/data', target: [], filter: 'nothing' }] },
      { name: 'c', items: [{ source: '/var/lib', target: [] }] },
    );
    expect(wrong.survey).toBeUndefined();
    expect(wrong.findings.map(({ severity, code, where }) => [severity, code, where])).toEqual([
      ['error', 'backup-not-found', '/nothing'],
      ['warning', 'backup-empty', 'migrate.backup "b"'],
      ['warning', 'backup-left-out', '/var/lib/balena-migrate'],
    ]);
  });
});
