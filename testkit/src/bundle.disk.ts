// The bundle on machines that are not like ours: no libraries at all, an old kernel, a noexec mount, other shells.

import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { makeBundle, bundleName as nameOf, packBundle } from './bundle/bundle.ts';

const repository = join(import.meta.dirname, '../..');

/** First system call numbers that a kernel lacks; see bundle/old-kernel.c. */
const withoutGetrandom = 318;
const linux313 = 314;

const bundleName = nameOf('x64');

let work: string;
/** A root directory that holds the unpacked archive and nothing else. */
let root: string;
/** The same with /dev/urandom, a program that hides newer system calls, and a script in place of migrate. */
let probeRoot: string;
let archive: string;

// What the script is started with, and what a child of it inherits.
const probe = `
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
const child = spawnSync('/${bundleName}/runtime/busybox', ['env'], { encoding: 'utf8' });
console.log(JSON.stringify({
  arguments: process.argv.slice(2), flags: process.execArgv, child: child.stdout.split('\\n').filter(Boolean),
  random: randomBytes(32).toString('hex'),
}));
`;

interface Probed {
  readonly arguments: readonly string[];
  readonly flags: readonly string[];
  readonly child: readonly string[];
  readonly random: string;
}

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'bundle-'));
  archive = await packBundle(await makeBundle(work));
  [root, probeRoot] = [join(work, 'root'), join(work, 'probe')];
  for (const directory of [root, probeRoot]) {
    await mkdir(directory);
    await execa('tar', ['-xzf', archive, '-C', directory]);
  }
  await writeFile(join(probeRoot, bundleName, 'app/migrate.js'), probe);
  await mkdir(join(probeRoot, 'dev'));
  await execa('mknod', [join(probeRoot, 'dev/urandom'), 'c', '1', '9']);
  const oldKernel = join(import.meta.dirname, 'bundle/old-kernel.c');
  await execa('gcc', ['-static', '-O1', '-Wall', '-Werror', '-o', join(probeRoot, 'old-kernel'), oldKernel]);
});

afterAll(() => rm(work, { recursive: true, force: true }));

const busybox = `/${bundleName}/runtime/busybox`;
const launcher = `/${bundleName}/migrate`;

/** Runs a command in a root directory that has no shell, with an empty environment. */
async function inRoot(directory: string, command: readonly string[]) {
  return execa('/usr/sbin/chroot', [directory, ...command], { env: {}, extendEnv: false, reject: false, cwd: '/' });
}

async function probed(command: readonly string[]): Promise<Probed> {
  const { stdout, stderr } = await inRoot(probeRoot, command);
  expect(stderr).toBe('');
  return JSON.parse(stdout) as Probed;
}

describe('in a root directory without any library', () => {
  test('migrate prints its version', async () => {
    const { version } = JSON.parse(await readFile(join(repository, 'packages/cli-migrate/package.json'), 'utf8')) as {
      version: string;
    };
    const result = await inRoot(root, [busybox, 'sh', launcher, '--version']);
    expect(result).toMatchObject({ exitCode: 0, stderr: '' });
    expect(result.stdout).toContain(version);
  });

  test('arguments and memory limits arrive unchanged, also through links', async () => {
    await symlink('migrate', join(probeRoot, bundleName, 'relative'));
    await symlink(`/${bundleName}/relative`, join(probeRoot, 'absolute'));
    for (const name of [launcher, `/${bundleName}/relative`, '/absolute']) {
      const run = await probed([busybox, 'sh', name, 'two words', '', '--flag=*', '$HOME']);
      expect(run.arguments).toEqual(['two words', '', '--flag=*', '$HOME']);
      expect(run.flags).toEqual(['--expose-gc', '--max-semi-space-size=1', '--max-old-space-size=96']);
    }
  });

  test('programs that migrate runs see no loader or Node settings', async () => {
    const foreign = [
      'LD_PRELOAD=/none.so',
      'LD_LIBRARY_PATH=/none',
      'NODE_OPTIONS=--no-such-option',
      'NODE_PATH=/none',
    ];
    const { child } = await probed([busybox, 'env', ...foreign, 'LANG=C', busybox, 'sh', launcher]);
    expect(child).toEqual(expect.arrayContaining(['LANG=C', 'UV_USE_IO_URING=0']));
    expect(child.filter((line) => /^(LD_|NODE_)/.test(line))).toEqual([]);
  });

  test('an idle Node stays below 64 MiB', async () => {
    const libraries = `/${bundleName}/runtime/lib`;
    const script = 'console.log(process.resourceUsage().maxRSS * 1024)';
    const loader = `/${bundleName}/runtime/ld.so`;
    const node = `/${bundleName}/runtime/node`;
    const { stdout } = await inRoot(root, [loader, '--library-path', libraries, node, '-e', script]);
    console.log(`Node's peak resident size: ${(Number(stdout) / 2 ** 20).toFixed(1)} MiB`);
    expect(Number(stdout)).toBeGreaterThan(2 ** 20);
    expect(Number(stdout)).toBeLessThan(64 * 2 ** 20);
  });
});

describe('on an old kernel', () => {
  test('Node aborts where getrandom is missing and nothing stands in for it', async () => {
    const result = await inRoot(probeRoot, ['/old-kernel', String(withoutGetrandom), busybox, 'sh', launcher]);
    expect(result.signal).toBe('SIGABRT');
    expect(result.stderr).toContain('CSPRNG');
  });

  test.each([withoutGetrandom, linux313])('the shim stands in for it (system calls below %i)', async (limit) => {
    const old = await copyBundle('3.13.0-24-generic', 'probeRoot');
    const run = await probed(['/old-kernel', String(limit), busybox, 'sh', `${old}/migrate`, 'x']);
    const again = await probed(['/old-kernel', String(limit), busybox, 'sh', `${old}/migrate`]);
    expect(run.arguments).toEqual(['x']);
    expect(run.child.filter((line) => line.startsWith('LD_'))).toEqual([]);
    expect(run.random).not.toBe(again.random);
  });

  test('without /dev/urandom the shim reports failure instead of weak bytes', async () => {
    const old = await copyBundle('3.13.0-24-generic', 'probeRoot');
    await execa('mv', [join(probeRoot, 'dev'), join(probeRoot, 'gone')]);
    const result = await inRoot(probeRoot, ['/old-kernel', String(linux313), busybox, 'sh', `${old}/migrate`]);
    await execa('mv', [join(probeRoot, 'gone'), join(probeRoot, 'dev')]);
    expect(result.signal).toBe('SIGABRT');
  });
});

describe.each([['dash'], ['bash', '--posix'], ['busybox', 'sh']])('launcher under %s', (...shell) => {
  test.each([
    ['3.2.0-4-amd64', true],
    ['3.16.0-77-generic', true],
    ['3.16+', true],
    ['3.17-rc1', false],
    ['3.19.0', false],
    ['4.4.0-210-generic', false],
    ['6.18', false],
    ['10.1.0', false],
  ])('kernel %s: shim %s', async (release, expected) => {
    const copy = await copyBundle(release, 'machine');
    await replace(join(copy, 'runtime/ld.so'), '#!/bin/sh\necho "$@"\n');
    const { stdout } = await execa(shell[0] ?? '', [...shell.slice(1), join(copy, 'migrate'), 'x']);
    expect(stdout.includes(` --preload ${copy}/runtime/getentropy.so `)).toBe(expected);
    expect(stdout).toMatch(/^--library-path \S+\/lib .*\/runtime\/node .* \S+\/app\/migrate\.js x$/);
  });

  test('says what to do where programs may not be run', async () => {
    const mounted = join(work, 'noexec');
    await mkdir(mounted, { recursive: true });
    await execa('mount', ['--bind', join(root, bundleName), mounted]);
    try {
      await execa('mount', ['-o', 'remount,bind,noexec', mounted]);
      const result = await execa(shell[0] ?? '', [...shell.slice(1), join(mounted, 'migrate')], { reject: false });
      expect(result.exitCode).toBe(3);
      expect(result.stderr).toMatch(/^migrate: cannot run programs in \S+noexec; .*mounted noexec.*elsewhere/);
    } finally {
      await execa('umount', [mounted]);
    }
  });

  test('says that the kernel is too old for the C library', async () => {
    const copy = await copyBundle('6.1.0', 'machine');
    await replace(join(copy, 'runtime/busybox'), '#!/bin/sh\necho "FATAL: kernel too old" >&2\nexit 127\n');
    const result = await execa(shell[0] ?? '', [...shell.slice(1), join(copy, 'migrate')], { reject: false });
    expect(result).toMatchObject({ exitCode: 3, stderr: 'migrate: Linux 3.2 or newer is needed' });
  });

  test('says which file is missing', async () => {
    const copy = await copyBundle('6.1.0', 'machine');
    await rm(join(copy, 'runtime/node'));
    const result = await execa(shell[0] ?? '', [...shell.slice(1), join(copy, 'migrate')], { reject: false });
    expect(result.exitCode).toBe(3);
    expect(result.stderr).toMatch(/^migrate: \S+\/runtime\/node is missing; /);
  });
});

test('equal contents give an equal archive', async () => {
  const first = await readFile(archive);
  const again = await mkdtemp(join(work, 'again-'));
  const umask = process.umask(0o077);
  try {
    const second = await readFile(await packBundle(await makeBundle(again)));
    expect(second.equals(first)).toBe(true);
  } finally {
    process.umask(umask);
  }
});

test('the archive stays below 45 MB, what it unpacks to below 115 MB', async () => {
  const { size } = await stat(archive);
  const unpacked = await execa('du', ['-s', '--apparent-size', '-B1', join(root, bundleName)]);
  const unpackedBytes = Number.parseInt(unpacked.stdout, 10);
  console.log(`bundle: ${(size / 1e6).toFixed(1)} MB packed, ${(unpackedBytes / 1e6).toFixed(1)} MB unpacked`);
  expect(size).toBeLessThan(45e6);
  expect(unpackedBytes).toBeLessThan(115e6);
});

/** A copy of the probing bundle that takes the kernel for the given release; its path as seen from where it will run. */
async function copyBundle(release: string, runsIn: 'machine' | 'probeRoot'): Promise<string> {
  const copy = await mkdtemp(join(probeRoot, 'copy-'));
  // Links share the 90 MB.
  await execa('cp', ['-al', `${join(probeRoot, bundleName)}/.`, copy]);
  const realBusybox = runsIn === 'machine' ? join(probeRoot, busybox) : busybox;
  const script = `#!${realBusybox} sh\ncase $1 in uname) echo '${release}' ;; *) exec ${realBusybox} "$@" ;; esac\n`;
  await replace(join(copy, 'runtime/busybox'), script);
  return runsIn === 'machine' ? copy : copy.slice(probeRoot.length);
}

/** Unlinks first: the old file has other names that must keep their contents. */
async function replace(program: string, script: string): Promise<void> {
  await rm(program);
  await writeFile(program, script, { mode: 0o755 });
}
