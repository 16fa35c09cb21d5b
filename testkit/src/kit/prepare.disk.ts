// migrate prepare as an operator runs it: from the bundle, without any rights, on images in all packings. What it made is
// checked by the programs of others, by the launcher, and by planning for a captured machine.
import { chmod, copyFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { balenaImage, configJson, sha256Of } from '../balena-image.ts';
import { makeBundle, packBundle } from '../bundle/bundle.ts';
import { makeFlasher } from '../images/flasher-image.ts';

// Each kit is some seconds of work on an idle machine.
vi.setConfig({ testTimeout: 400_000, hookTimeout: 400_000 });

const nobody = 65534;
const deviceType = 'genericx86-64-ext';
const secret = 'canary-api-key-0123456789abcdef';
const facts = new URL('../../../fixtures/machines/pc-debian-12-bios-mbr/facts.json', import.meta.url).pathname;

let directory: string;
let bundle: string;
let image: Awaited<ReturnType<typeof balenaImage>>;
let rawSha256: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'prepare-'));
  await chmod(directory, 0o755);
  bundle = await makeBundle(directory);
  image = await balenaImage({ table: 'mbr', deviceType, payloadMib: 16 });
  // The cache is its owner's; prepare runs as nobody.
  await copyFile(image.path, join(directory, 'balena.img.gz'));
  await writeFile(join(directory, 'config.json'), configJson(deviceType));
  await writeFile(join(directory, 'office.nmconnection'), '[connection]\nid=office\ntype=ethernet\n');
  await copyFile(facts, join(directory, 'facts.json'));
  rawSha256 = await sha256Of(image.raw);
});
afterAll(() => rm(directory, { recursive: true }));

/** A directory of its own, writable for nobody. */
async function workplace(): Promise<string> {
  const path = await mkdtemp(join(directory, 'work-'));
  await execa('chown', [`${nobody}:${nobody}`, path]);
  return path;
}

const asNobody = { uid: nobody, gid: nobody, reject: false, stdin: 'ignore', extendEnv: false } as const;

async function migrate(args: readonly string[], cwd: string) {
  const run = await execa(join(bundle, 'migrate'), args, { ...asNobody, cwd, env: { PATH: '/usr/bin:/bin' } });
  expect(`${run.stdout}${run.stderr}`).not.toContain(secret);
  return run;
}

function prepare(args: readonly string[], cwd: string) {
  return migrate(['prepare', '--config-json', join(directory, 'config.json'), ...args], cwd);
}

/** Runs a kit's launcher with a shell, as root: nobody could not migrate. */
function launch(kit: string, args: readonly string[], shell: readonly string[] = ['sh']) {
  const [program = 'sh', ...first] = shell;
  return execa(program, [...first, join(kit, 'migrate-run'), ...args], { reject: false, stdin: 'ignore' });
}

/** What a kit calls its image, and what reads it. */
const packings = {
  zstd: { name: 'balena.img.zst', reader: 'zstd -dc' },
  gzip: { name: 'balena.img.gz', reader: 'gzip -dc' },
  raw: { name: 'balena.img', reader: 'cat' },
} as const;
const quick = ['--format', 'gzip'];

describe('an image', () => {
  it.each<[string, keyof typeof packings, () => Promise<string>]>([
    ['gzip', 'zstd', async () => join(directory, 'balena.img.gz')],
    ['raw', 'gzip', rawCopy],
    ['zip', 'raw', zipped],
    ['a flasher image', 'zstd', flasher],
  ])('in %s becomes a kit with %s that plans the migration of a captured machine', async (_, format, source) => {
    const cwd = await workplace();
    const args = ['-i', await source(), '-n', join(directory, 'office.nmconnection'), '--format', format];
    const run = await prepare([...args, '-o', 'kit', '--set', 'migrate.reboot=7', '--json'], cwd);
    expect(run).toMatchObject({ exitCode: 0 });
    const kit = join(cwd, 'kit');
    const { name, reader } = packings[format];
    expect(JSON.parse(run.stdout)).toMatchObject({
      deviceType,
      architectures: ['x86_64'],
      image: { name },
      findings: [],
    });

    const hashed = await execa('sh', ['-c', `${reader} "$1" | sha256sum`, 'hash', join(kit, name)]);
    expect(hashed.stdout.slice(0, 64)).toBe(rawSha256);
    expect(await readdir(kit)).toContain(`${name}.usedmap.json`);
    for (const path of ['config.json', 'system-connections/office.nmconnection'])
      expect((await stat(join(kit, path))).mode & 0o777).toBe(0o600);
    await execa('sha256sum', ['--check', '--strict', '--quiet', 'SHA256SUMS'], { cwd: kit });

    const yaml = join(kit, 'balena-migrate.yml');
    expect(await migrate(['validate', yaml], cwd)).toMatchObject({ exitCode: 0 });
    const planned = await migrate(
      ['explain', '-f', join(directory, 'facts.json'), '-c', yaml, '-w', kit, '--json'],
      cwd,
    );
    expect(planned).toMatchObject({ exitCode: 0 });
    expect(JSON.parse(planned.stdout)).toMatchObject({
      plan: { rebootSeconds: 7, image: { sizeBytes: image.sizeBytes } },
    });
    expect(await readdir(cwd)).toEqual(['kit']);
  });

  async function rawCopy(): Promise<string> {
    const path = join(directory, 'raw.img');
    await execa('cp', ['--sparse=always', image.raw, path]);
    return path;
  }

  async function zipped(): Promise<string> {
    const path = join(directory, 'balena.zip');
    await execa('python3', ['-m', 'zipfile', '-c', path, await rawCopy()]);
    return path;
  }

  async function flasher(): Promise<string> {
    const path = join(directory, 'flasher.img');
    await makeFlasher(path, { inner: image.raw, deviceType, directory });
    return path;
  }
});

describe('an archive', () => {
  it('has the same bytes each time, and every tar unpacks it to a kit', async () => {
    const cwd = await workplace();
    const args = ['-i', join(directory, 'balena.img.gz'), ...quick];
    const packed = await packBundle(bundle);
    expect(await prepare([...args, '-o', 'kit.tar.gz'], cwd)).toMatchObject({ exitCode: 0 });
    expect(await prepare([...args, '-o', 'again/kit.tar.gz', '--bundle', packed], cwd)).toMatchObject({ exitCode: 3 });
    await mkdir(join(cwd, 'again'), { mode: 0o777 });
    await chmod(join(cwd, 'again'), 0o777);
    expect(await prepare([...args, '-o', 'again/kit.tar.gz', '--bundle', packed], cwd)).toMatchObject({ exitCode: 0 });
    expect(await sha256Of(join(cwd, 'again/kit.tar.gz'))).toBe(await sha256Of(join(cwd, 'kit.tar.gz')));
    expect((await stat(join(cwd, 'kit.tar.gz'))).mode & 0o777).toBe(0o600);
    for (const [index, tar] of [['tar'], ['busybox', 'tar']].entries()) {
      const [program = 'tar', ...first] = tar;
      const place = join(cwd, `unpacked-${index}`);
      await mkdir(place);
      await execa(program, [...first, '-xzf', join(cwd, 'kit.tar.gz'), '-C', place]);
      expect(await readdir(place)).toEqual(['kit']);
      expect((await stat(join(place, 'kit/config.json'))).mode & 0o777).toBe(0o600);
      expect(await launch(join(place, 'kit'), ['--check'])).toMatchObject({ exitCode: 0 });
    }
  });
});

describe('the launcher', () => {
  let kit: string;

  beforeAll(async () => {
    const cwd = await workplace();
    expect(await prepare(['-i', join(directory, 'balena.img.gz'), ...quick, '-o', 'kit'], cwd)).toMatchObject({
      exitCode: 0,
    });
    kit = join(cwd, 'kit');
  });

  it('satisfies shellcheck', async () => {
    await execa('shellcheck', [join(kit, 'migrate-run')]);
  });

  it.each([['dash'], ['bash'], ['busybox sh']])(
    'starts migrate with %s, which pretends and refuses this machine',
    async (shell) => {
      const run = await launch(kit, ['--pretend', '--json'], shell.split(' '));
      // This machine may be a container, or lack GRUB: what counts is that the real program has looked at it and the kit.
      expect(JSON.parse(run.stdout)).toHaveProperty('findings');
      expect([0, 3]).toContain(run.exitCode);
      expect(await launch(kit, ['status'], shell.split(' '))).toMatchObject({ exitCode: 0 });
    },
  );

  it.each([
    ['aarch64', 'migrate-linux-arm64 is missing'],
    ['armv7l', 'migrate-linux-armv7 is missing'],
    ['i686', 'no program for machines of the kind i686'],
  ])('refuses a machine of the kind %s, for which the kit has no bundle', async (machine, why) => {
    const programs = await mkdtemp(join(directory, 'programs-'));
    await writeFile(join(programs, 'uname'), `#!/bin/sh\necho ${machine}\n`, { mode: 0o755 });
    const run = await execa('sh', [join(kit, 'migrate-run'), '--pretend'], {
      reject: false,
      env: { PATH: `${programs}:${process.env.PATH}` },
    });
    expect(run).toMatchObject({ exitCode: 3 });
    expect(run.stderr).toContain(why);
  });

  it('refuses a kit whose programs cannot be started', async () => {
    const copy = join(await workplace(), 'kit');
    await execa('cp', ['-r', kit, copy]);
    await chmod(join(copy, 'migrate-linux-x64/migrate'), 0o644);
    const run = await launch(copy, ['--pretend']);
    expect(run).toMatchObject({ exitCode: 3 });
    expect(run.stderr).toContain('mounted noexec');
  });

  it.each(['--immediate', 'status --yes', 'undo --pretend'])(
    'refuses arguments that it does not know: %s',
    async (line) => {
      expect(await launch(kit, line.split(' '))).toMatchObject({ exitCode: 2 });
    },
  );

  it.each([
    ['changed', (path: string) => writeFile(path, 'changed')],
    ['missing', (path: string) => rm(path)],
  ])('refuses a kit of which a file is %s, and names it', async (_, damage) => {
    const copy = join(await workplace(), 'kit');
    await execa('cp', ['-r', kit, copy]);
    await damage(join(copy, 'migrate-linux-x64/app/stage2.js'));
    for (const shell of [['dash'], ['busybox', 'sh']]) {
      const run = await launch(copy, ['--yes'], shell);
      expect(run).toMatchObject({ exitCode: 3 });
      expect(run.stderr).toContain('migrate-linux-x64/app/stage2.js');
    }
    await rm(join(copy, 'SHA256SUMS'));
    expect(await launch(copy, ['--yes'])).toMatchObject({ exitCode: 3 });
  });
});

describe('prepare', () => {
  it('says all that is wrong at once, and makes nothing', async () => {
    const cwd = await workplace();
    const wrong = configJson('intel-nuc').replace('"apiEndpoint": "https', '"apiEndpoint": "http');
    await writeFile(join(cwd, 'config.json'), wrong);
    const run = await migrate(
      [
        'prepare',
        '-i',
        join(directory, 'balena.img.gz'),
        '--config-json',
        'config.json',
        '-d',
        'raspberrypi3',
        '-n',
        'none',
        '--set',
        'migrate.colour=blue',
        '--set',
        'balena.image.dd.path=x',
        '--bundle',
        '/nowhere',
        '-o',
        'kit',
        '--json',
      ],
      cwd,
    );
    expect(run.exitCode).toBe(3);
    const { findings } = JSON.parse(run.stdout) as { findings: readonly { readonly code: string }[] };
    expect(findings.map(({ code }) => code).sort()).toEqual([
      'bundle-unreadable',
      'config-json-value',
      'connection-unreadable',
      'device-type-asked',
      'kit-set',
      'kit-setting',
    ]);
    expect(await readdir(cwd)).toEqual(['config.json']);
  });

  it('refuses an image that is cut off', async () => {
    const cwd = await workplace();
    await writeFile(join(cwd, 'cut.img.gz'), (await readFile(image.path)).subarray(0, -1_000));
    const run = await prepare(['-i', 'cut.img.gz', '-o', 'kit', '--json'], cwd);
    expect(run.exitCode).toBe(3);
    expect(await readdir(cwd)).toEqual(['cut.img.gz']);
  });

  it('overwrites an older kit when told to, and nothing else ever', async () => {
    const cwd = await workplace();
    const args = ['-i', join(directory, 'balena.img.gz'), ...quick, '-o', 'kit'];
    expect(await prepare(args, cwd)).toMatchObject({ exitCode: 0 });
    const before = await readFile(join(cwd, 'kit/SHA256SUMS'), 'utf8');
    expect(await prepare(args, cwd)).toMatchObject({ exitCode: 3 });
    expect(await prepare([...args, '--yes', '-i', '/nowhere'], cwd)).toMatchObject({ exitCode: 3 });
    expect(await readFile(join(cwd, 'kit/SHA256SUMS'), 'utf8')).toBe(before);
    expect(await prepare([...args, '--yes', '--set', 'debug.no_flash=true'], cwd)).toMatchObject({ exitCode: 0 });
    expect(await readFile(join(cwd, 'kit/SHA256SUMS'), 'utf8')).not.toBe(before);
    await writeFile(join(cwd, 'kit/diary.txt'), 'mine');
    const run = await prepare([...args, '--yes'], cwd);
    expect(run).toMatchObject({ exitCode: 3 });
    expect(run.stderr).toContain('diary.txt');
    expect(await readFile(join(cwd, 'kit/diary.txt'), 'utf8')).toBe('mine');
    expect(await readdir(cwd)).toEqual(['kit']);
  });

  it('leaves nothing when it is interrupted', async () => {
    const cwd = await workplace();
    const args = [
      'prepare',
      '-i',
      join(directory, 'balena.img.gz'),
      '--config-json',
      join(directory, 'config.json'),
      '-o',
      'kit',
    ];
    const run = execa(join(bundle, 'migrate'), [...args, '--level', '19'], { ...asNobody, cwd });
    // A second signal would end it at once.
    let isAsked = false;
    run.stderr.on('data', (data: Buffer) => {
      if (isAsked || !String(data).includes('converting the image')) return;
      isAsked = true;
      run.kill('SIGTERM');
    });
    expect((await run).exitCode).toBe(4);
    expect(await readdir(cwd)).toEqual([]);
  });
});
