import { linkSync, mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import {
  createMemoryHost,
  createNodeHost,
  type Host,
  type LivingTree,
  type RequestedVolume,
  surveyBackup,
} from '@migrate/core';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTarBack } from '../extract/read-tar-back.ts';
import { archiveBackup } from './archive-backup.ts';
import { measureBackup, writeBackup } from './write-backup.ts';

const volume = (source: string, name = 'v'): RequestedVolume => ({ name, items: [{ source, target: [] }] });

async function archived(host: Host, volumes: readonly RequestedVolume[]) {
  const changes: string[] = [];
  const chunks: Buffer[] = [];
  const options = { leaveOut: [], onData: () => {}, onChange: (text: string) => changes.push(text) };
  for await (const chunk of archiveBackup(host, volumes, options)) chunks.push(Buffer.from(chunk));
  return { archive: Buffer.concat(chunks), changes };
}

/** As text: kind, path, mode, contents or target. */
async function membersOf(archive: Buffer): Promise<string[]> {
  const members = await readTarBack(archive);
  return members.map(({ header, contents }) => {
    const { type, name, mode = 0, linkname } = header;
    const what = type === 'symlink' || type === 'link' ? `-> ${linkname}` : contents.toString('base64');
    return `${type} ${name.replace(/\/$/, '')} ${mode.toString(8)} ${what}`.trim();
  });
}

describe('any tree', () => {
  const name = fc
    .string({ unit: 'binary', minLength: 1, maxLength: 130 })
    .filter((text) => !/[/\0]/.test(text) && text !== '.' && text !== '..' && Buffer.byteLength(text) <= 255);
  const path = fc.array(name, { minLength: 1, maxLength: 4 }).map((names) => names.join('/'));

  it('is in the archive as it was, in less than the survey said', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.dictionary(path, fc.uint8Array({ maxLength: 2000 }), { maxKeys: 6 }),
        fc.dictionary(path, name, { maxKeys: 3 }),
        async (files, links) => {
          const all = [...Object.keys(files), ...Object.keys(links)];
          // A file is no directory of another.
          fc.pre(all.every((one) => all.every((other) => one === other || !other.startsWith(`${one}/`))));
          fc.pre(new Set(all).size === all.length);
          const below = <T>(entries: Record<string, T>): Record<string, T> =>
            Object.fromEntries(Object.entries(entries).map(([key, value]) => [`/srv/${key}`, value]));
          const host = createMemoryHost({ files: { '/srv/.keep': '', ...below(files) }, links: below(links) });
          const { archive, changes } = await archived(host, [volume('/srv')]);
          const expected = [...host.nodes]
            .filter(([at]) => at === '/srv' || at.startsWith('/srv/'))
            .map(([at, node]) => {
              const own = `v${at.slice('/srv'.length)}`;
              if (node.kind === 'directory') return `directory ${own} ${node.mode.toString(8)}`;
              if (node.kind === 'symlink') return `symlink ${own} 777 -> ${node.target}`;
              return `file ${own} ${node.mode.toString(8)} ${Buffer.from(node.contents).toString('base64')}`;
            })
            .map((line) => line.trim());
          expect((await membersOf(archive)).sort()).toEqual(expected.sort());
          expect(changes).toEqual([]);
          const { survey } = await surveyBackup(host, [volume('/srv')], []);
          expect(survey?.archiveBytes).toBeGreaterThan(archive.length);
        },
      ),
      { numRuns: 150 },
    );
  });
});

describe('a living directory', () => {
  let directory: string;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'backup-'));
  });
  afterEach(() => rmSync(directory, { recursive: true, force: true }));

  /** The host whose files are changed at the moment that they were opened. */
  function changing(change: (path: string) => void): Host {
    const host = createNodeHost();
    return {
      ...host,
      openTree: async (path): Promise<LivingTree | undefined> => {
        const tree = await host.openTree(path);
        if (tree === undefined) return undefined;
        return {
          ...tree,
          open: async (entry) => {
            const reader = await tree.open(entry);
            change(join(path, Buffer.from(entry.name).toString()));
            return reader;
          },
        };
      },
    };
  }

  it('whose files shrink, grow or go gives a sound archive that says so', async () => {
    for (const name of ['a-shrinks', 'b-grows', 'c-stays']) writeFileSync(join(directory, name), name.repeat(1000));
    const host = changing((path) => {
      if (path.endsWith('a-shrinks')) truncateSync(path, 100);
      if (path.endsWith('b-grows')) writeFileSync(path, 'more', { flag: 'a' });
    });
    const { archive, changes } = await archived(host, [volume(directory)]);
    const contents = new Map((await readTarBack(archive)).map((member) => [member.header.name, member.contents]));
    expect(contents.get('v/a-shrinks')).toEqual(
      Buffer.concat([Buffer.from('a-shrinks'.repeat(12).slice(0, 100)), Buffer.alloc(8900)]),
    );
    expect(contents.get('v/b-grows')?.toString()).toBe('b-grows'.repeat(1000));
    expect(contents.get('v/c-stays')?.toString()).toBe('c-stays'.repeat(1000));
    expect(changes).toEqual([
      expect.stringMatching(/a-shrinks" became shorter while it was read: its last 8900 bytes are zeros/),
      expect.stringMatching(/b-grows" grew while it was read: its first 7000 bytes are taken/),
    ]);
  });

  it('keeps hard links within an item, but not between items', async () => {
    mkdirSync(join(directory, 'one'));
    writeFileSync(join(directory, 'one/a'), 'linked');
    linkSync(join(directory, 'one/a'), join(directory, 'one/b'));
    const source = join(directory, 'one');
    const items = [
      { source, target: ['x'] },
      { source, target: ['y'] },
    ];
    const { archive } = await archived(createNodeHost(), [{ name: 'v', items }]);
    const seen = (await readTarBack(archive)).map(({ header }) => [header.type, header.name, header.linkname]);
    expect(seen.filter(([type]) => type !== 'directory')).toEqual([
      ['file', 'v/x/a', null],
      ['link', 'v/x/b', 'v/x/a'],
      ['file', 'v/y/a', null],
      ['link', 'v/y/b', 'v/y/a'],
    ]);
  });

  it('says once that extended attributes cannot be read', async () => {
    for (const name of ['a', 'b']) writeFileSync(join(directory, name), name);
    const host = createNodeHost({ getfattr: ['/nonexistent/getfattr'] });
    const { archive, changes } = await archived(host, [volume(directory)]);
    expect(changes).toEqual([expect.stringMatching(/^extended attributes of files are left out: .*not installed/)]);
    expect((await readTarBack(archive)).length).toBe(3);
  });
});

describe('the file', () => {
  const host = () => createMemoryHost({ files: { '/srv/a': 'text '.repeat(10_000), '/out/other': '' } });
  const request = { volumes: [{ ...volume('/srv'), files: 1, contentBytes: 50_000 }], leaveOut: [], emit: () => {} };

  it('is the archive with gzip, for root only, as long as measured', async () => {
    const machine = host();
    const { archive } = await archived(machine, request.volumes);
    const made = await writeBackup(machine, request, { to: '/out/b.tgz', limitBytes: 10_000 });
    const bytes = await machine.readFile('/out/b.tgz');
    expect(gunzipSync(bytes).equals(archive)).toBe(true);
    expect(made.sizeBytes).toBe(bytes.length);
    expect((await machine.status('/out/b.tgz'))?.mode).toBe(0o600);
    const before = machine.snapshot();
    expect(await measureBackup(machine, request)).toBe(bytes.length);
    expect(machine.snapshot()).toEqual(before);
  });

  it('is not there where it would be too long', async () => {
    const machine = host();
    const before = machine.snapshot();
    await expect(writeBackup(machine, request, { to: '/out/b.tgz', limitBytes: 100 })).rejects.toMatchObject({
      code: 'no-space',
    });
    expect(machine.snapshot()).toEqual(before);
  });
});
