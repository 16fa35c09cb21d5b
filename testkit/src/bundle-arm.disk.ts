// ARM's bundles on the roots of old boards, run by qemu-user: no library there can be used, and the kernel may be old.

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Facts, Plan } from '@migrate/core';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configJson } from './balena-image.ts';
import { architectures, type BundleArchitectureName } from './bundle/architectures.ts';
import { type ArmUserOptions, runArm } from './bundle/arm-user.ts';
import { makeBoardRoot, processorFeatures } from './bundle/board-root.ts';
import { bundleName, makeBundle } from './bundle/bundle.ts';
import { makeTinyImage } from './bundle/tiny-image.ts';

const machines = join(import.meta.dirname, '../../fixtures/machines');

let work: string;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'bundle-arm-'));
});

afterAll(() => rm(work, { recursive: true, force: true }));

/** The first system call that Linux 3.13 lacks; see bundle/old-kernel.c. The calls of qemu-user are this machine's. */
const linux313 = '314';

const config = `migrate:
  mode: pretend
  require_nwmgr_config: false
balena:
  image:
    dd:
      path: balena.img.zst
  config:
    path: config.json
  api: { check: false }
  check_vpn: false
`;

describe.each([
  // Linux 3.8 is what Debian 7 and 8 of a BeagleBone run.
  {
    name: 'armv7',
    board: 'pi-3-raspbian-8',
    deviceType: 'raspberrypi3',
    kernel: '3.8.13-bone85',
    machine: 'armv7l',
    limitMb: 85,
  },
  {
    name: 'arm64',
    board: 'pi-3-ubuntu-20.04',
    deviceType: 'raspberrypi3-64',
    kernel: '5.4.0-1103-raspi',
    machine: 'aarch64',
    limitMb: 100,
  },
] as const)('$name on $board', ({ name, board, deviceType, kernel, machine, limitMb }) => {
  let root: string;
  let captured: Facts;
  const bundle = `/${bundleName(name)}`;
  const migrate = ['/bin/sh', `${bundle}/migrate`];
  const run = (command: readonly string[], options: ArmUserOptions = {}) =>
    runArm(root, command, { kernelRelease: kernel, ...options });

  beforeAll(async () => {
    root = join(work, name);
    await mkdir(root);
    const made = await makeBundle(root, name);
    captured = JSON.parse(await readFile(join(machines, board, 'facts.json'), 'utf8')) as Facts;
    await makeBoardRoot(root, captured, join(made, 'runtime/busybox'));
    await makeTinyImage(join(root, 'root/balena.img'), deviceType);
    await execa('zstd', ['-q', '--rm', join(root, 'root/balena.img')]);
    await writeFile(join(root, 'root/balena-migrate.yml'), config);
    await writeFile(join(root, 'root/config.json'), configJson(deviceType));
  });

  test('migrate starts, without a word from the loader', async () => {
    expect(await run([...migrate, '--version'])).toMatchObject({ exitCode: 0, stdout: '0.1.0', stderr: '' });
  });

  test('it says what it is made of', async () => {
    const made = join(root, bundle);
    const { node, debian } = architectures[name];
    expect(await readFile(join(made, 'VERSION'), 'utf8')).toMatch(
      new RegExp(`^migrate 0.1.0\nnode ${node.version}\nlibc6 2\\.36-9\\+deb12u\\d+\n`),
    );
    const sources = await readFile(join(made, 'LICENSES/SOURCES'), 'utf8');
    expect(sources).toContain(`Debian 12 (${debian})`);
    expect(sources).toContain(`npm package ${node.name}`);
  });

  test(`what stage 2 keeps in RAM of it stays below ${limitMb} MB`, async () => {
    const parts = ['runtime', 'app'].map((part) => join(root, bundle, part));
    // Of the programs that make file systems only migrations from archives know.
    const left = ['--exclude=migrate.js', '--exclude=file-systems'];
    const { stdout } = await execa('du', ['-s', '-c', '--apparent-size', '-B1', ...left, ...parts]);
    const bytes = Number.parseInt(stdout.split('\n').at(-1) ?? '', 10);
    console.log(`${name} in RAM: ${(bytes / 1e6).toFixed(1)} MB`);
    expect(bytes).toBeLessThan(limitMb * 1e6);
  });

  test('its facts are those of the board', async () => {
    const { stdout, stderr, exitCode } = await run([...migrate, 'facts']);
    expect(exitCode, stderr).toBe(0);
    const found = JSON.parse(stdout) as Facts;
    for (const key of ['os', 'userland', 'memory', 'mounts'] as const) expect(found[key]).toEqual(captured[key]);
    expect(found.kernel).toMatchObject({
      architecture: captured.kernel.architecture,
      release: captured.kernel.release,
    });
    expect(found.hardware).toEqual({ ...captured.hardware, processorFeatures });
    expect(comparable(found.disks)).toEqual(comparable(captured.disks));
  });

  test('pretending makes a plan, with an image that its own zstd unpacks, and changes nothing', async () => {
    const listing = () => execa('find', [root, '-printf', '%P %s %T@\n']).then(({ stdout }) => stdout);
    const before = await listing();
    const { stdout, stderr, exitCode } = await run([...migrate, '-w', '/root', '--json']);
    expect(exitCode, `${stdout}\n${stderr}`).toBe(0);
    const { plan } = JSON.parse(stdout) as { plan: Plan };
    expect(plan.stage2.map(({ kind }) => kind)).toContain('flash-image');
    expect(await listing()).toBe(before);
  });

  test('it starts programs of the board', async () => {
    const script =
      "console.log(require('node:child_process').spawnSync('/bin/uname', ['-m'], { encoding: 'utf8' }).stdout.trim())";
    const runtime = `${bundle}/runtime`;
    const { stdout, stderr } = await run([
      `${runtime}/ld.so`,
      '--library-path',
      `${runtime}/lib`,
      `${runtime}/node`,
      '-e',
      script,
    ]);
    expect({ stdout, stderr }).toEqual({ stdout: machine, stderr: '' });
  });
});

describe('refuses before Node is started', () => {
  const refused = async (root: BundleArchitectureName, bundle: BundleArchitectureName, options: ArmUserOptions) => {
    const result = await runArm(join(work, root), ['/bin/sh', `/${bundleName(bundle)}/migrate`], options);
    expect(result.exitCode, result.stderr).toBe(3);
    return result.stderr;
  };

  beforeAll(async () => {
    for (const [name, other] of [
      ['armv7', 'arm64'],
      ['arm64', 'armv7'],
    ] as const) {
      await execa('cp', ['-al', join(work, name, bundleName(name)), join(work, other)]);
    }
  });

  test('the 64-bit bundle on a 32-bit kernel', async () => {
    expect(await refused('armv7', 'arm64', { runs: ['arm'] })).toBe(
      'migrate: this bundle is for arm64 machines, this one is armv7l; use the bundle migrate-linux-armv7',
    );
  });

  test('the 32-bit bundle on a 64-bit kernel that runs no 32-bit programs', async () => {
    expect(await refused('arm64', 'armv7', { runs: ['aarch64'] })).toBe(
      'migrate: cannot run 32-bit programs on this 64-bit kernel; use the bundle migrate-linux-arm64',
    );
  });

  test('the 64-bit bundle on a kernel without getrandom', async () => {
    expect(await refused('arm64', 'arm64', { kernelRelease: '3.16.0-4-arm64' })).toBe(
      'migrate: Linux 3.17 or newer is needed, this is 3.16.0-4-arm64',
    );
  });

  test('a processor without NEON', async () => {
    const cpuInfo = join(work, 'armv7/proc/cpuinfo');
    const before = await readFile(cpuInfo, 'utf8');
    await writeFile(cpuInfo, before.replace(' neon', ''));
    expect(await refused('armv7', 'armv7', {})).toContain('lacks NEON');
    await writeFile(cpuInfo, before);
  });
});

test('equal contents give equal files', async () => {
  const again = await makeBundle(join(work, 'again'), 'armv7');
  const { stdout } = await execa('diff', ['-r', again, join(work, 'armv7', bundleName('armv7'))], { reject: false });
  expect(stdout).toBe('');
});

test('armv7 starts with the system calls of Linux 3.13', async () => {
  const root = join(work, 'armv7');
  const oldKernel = join(import.meta.dirname, 'bundle/old-kernel.c');
  await execa('gcc', ['-static', '-O1', '-Wall', '-Werror', '-o', join(root, 'old-kernel'), oldKernel]);
  const command = ['/old-kernel', linux313, '/bin/sh', `/${bundleName('armv7')}/migrate`, '--version'];
  expect(await runArm(root, command, { kernelRelease: '3.13.0' })).toMatchObject({ stdout: '0.1.0', stderr: '' });
});

/** Without boot code, and with partition types as they are read: the facts were written by hand. */
function comparable(disks: Facts['disks']) {
  return disks.map(({ bootCode: _, partitions, ...disk }) => ({
    ...disk,
    partitions: partitions.map(({ type, ...partition }) => ({ ...partition, type: type?.padStart(2, '0') })),
  }));
}
