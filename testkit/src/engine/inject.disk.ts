// The inject command as a user runs it: images, apps.json and connections into a mounted resin-data and resin-boot.
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runCommandLine } from '@migrate/cli-inject';
import { parseAppsJson, servicesOf } from '@migrate/engine-preload';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { mountImage } from '../loop-device.ts';
import { withEngine } from './docker-engine.ts';
import { rootState } from './layer-trees.ts';
import { buildTestImages } from './test-images.ts';

let work: string;
let mounts: { readonly data: string; readonly boot: string };

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'inject-'));
  mounts = { data: join(work, 'resin-data'), boot: join(work, 'resin-boot') };
  await withEngine(join(work, 'source'), (engine) => buildTestImages(engine, 12));
  await execa('truncate', ['-s', '300M', join(work, 'data.ext4')]);
  await execa('mkfs.ext4', ['-q', join(work, 'data.ext4')]);
  await mkdir(mounts.data);
  await mkdir(mounts.boot);
  await mountImage(join(work, 'data.ext4'), mounts.data);
  await mkdir(join(mounts.data, 'docker'));
  await writeFile(join(mounts.data, 'apps.json'), '{}');
  await writeFile(
    join(work, 'compose.yml'),
    'services:\n  main: { image: "app/one:1", volumes: [data:/data] }\n  other: { image: "app/two:2" }\nvolumes: { data: }\n',
  );
});

afterAll(async () => {
  await execa('umount', [mounts.data], { reject: false });
  await rm(work, { recursive: true, force: true });
});

/** The command's exit code and output. */
async function inject(...argv: readonly string[]) {
  const written: string[] = [];
  const collect = (text: unknown): boolean => written.push(String(text)) > 0;
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(collect));
  try {
    const places = ['--from', join(work, 'source'), '--resin-data', mounts.data, '--resin-boot', mounts.boot];
    return { exitCode: await runCommandLine([...places, ...argv]), text: written.join('') };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}

describe('inject', () => {
  test('changes nothing where an image is missing or nobody says yes', async () => {
    const before = [await rootState(mounts.data), await readdir(mounts.boot)];
    const missing = await inject('--compose', join(work, 'compose.yml'), '--only', 'app/one:1', '--yes');
    expect(missing.text).toContain('the image app/two:2 is not there');
    expect(missing.exitCode).toBe(3);
    expect(await inject('--compose', join(work, 'compose.yml'))).toMatchObject({ exitCode: 3 });
    expect([await rootState(mounts.data), await readdir(mounts.boot)]).toEqual(before);
  });

  test('puts all in place, and a second time changes nothing', async () => {
    const argv = ['--compose', join(work, 'compose.yml'), '--static-ip', '10.0.0.5/24', '--yes'];
    const first = await inject(...argv);
    expect(first).toMatchObject({ exitCode: 0 });
    expect(first.text).toContain('note: no service uses registry.example.org:5000/app/three:3');
    const after = await rootState(join(mounts.data, 'docker'));
    const { apps } = parseAppsJson(await readFile(join(mounts.data, 'apps.json'), 'utf8'), 'apps.json');
    expect(servicesOf(apps ?? {}).map(({ name, service }) => [name, service.image])).toEqual([
      ['main', 'app/one:1'],
      ['other', 'app/two:2'],
    ]);
    expect(await readFile(join(mounts.boot, 'system-connections/static_ip'), 'utf8')).toContain(
      'address1=10.0.0.5/24\n',
    );
    expect((await inject(...argv)).exitCode).toBe(0);
    expect(await rootState(join(mounts.data, 'docker'))).toBe(after);
  });

  test('asks what becomes of a name that is taken, and says what became of it', async () => {
    const path = join(mounts.data, 'docker/image/overlay2/repositories.json');
    const right = await readFile(path, 'utf8');
    const { Repositories } = JSON.parse(right) as { Repositories: Record<string, Record<string, string>> };
    const [one, two] = [Repositories['app/one']?.['app/one:1'] ?? '', Repositories['app/two']?.['app/two:2'] ?? ''];
    await writeFile(path, right.replaceAll(one, two));
    const refused = await inject('--yes');
    expect(refused).toMatchObject({ exitCode: 3 });
    expect(refused.text).toContain('--on-conflict keep');
    const kept = await inject('--yes', '--on-conflict', 'keep');
    expect(kept.exitCode).toBe(0);
    expect(kept.text).toContain('the name app/one:1 stays with');
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({
      Repositories: { 'app/one': { 'app/one:1': two } },
    });
    const moved = await inject('--yes', '--json', '--on-conflict', 'move');
    expect(JSON.parse(moved.text.trim().split('\n').at(-1) ?? '')).toMatchObject({
      outcome: 'done',
      takenNames: [{ reference: 'app/one:1', target: two, source: one }],
    });
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual(JSON.parse(right));
  });

  test('verifies what lies there, and sees a changed byte', async () => {
    expect(await inject('verify', '--resin-data', mounts.data)).toMatchObject({ exitCode: 0 });
    const layers = join(mounts.data, 'docker/overlay2');
    const { stdout } = await execa('find', [layers, '-path', '*/diff/gone/new']);
    await writeFile(stdout, 'NEW\n');
    const changed = await inject('verify', '--resin-data', mounts.data);
    expect(changed.exitCode).toBe(3);
    expect(changed.text).toMatch(/WRONG +app\/one:1\n/);
    await writeFile(stdout, 'new\n');
  });

  test('an engine starts what apps.json names', async () => {
    const said = await withEngine(join(mounts.data, 'docker'), (engine) =>
      engine.docker('run', '--rm', '--network', 'none', 'app/one:1'),
    );
    expect(said).toBe('new');
  });
});
