// The initramfs of stage 2 on a real Debian kernel: what init does when stage 2 succeeds, fails, hangs, or is not there.
// The payload is a fake whose "loader" is a script that plays the part of Node.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { HostReader } from '@migrate/core';
import {
  buildInitramfs,
  createNodeHost,
  moduleClosure,
  parseModuleIndex,
  stage2CommandLine,
  stage2Modules,
} from '@migrate/core';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { cached } from './cached.ts';

const uuid = '0f0e0d0c-0b0a-4908-8706-050403020100';
const planId = 'fedcba9876543210fedcba9876543210';
const payloadPath = '/var/lib/balena-migrate/payload';
const point = '/run/migrate/point-of-no-return';
const init = join(import.meta.dirname, '../../packages/cli-migrate/init/init.sh');

/** How long a machine must stay up after the pattern that is waited for. */
const lingerMs = 10_000;

let work: string;
/** A root directory with the kernel, its modules, and a sysfs that shows a virtio disk. */
let root: string;
let release: string;
let machineHost: HostReader;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'initramfs-'));
  root = join(await debianKernel(), 'root');
  [release = ''] = await readdir(join(root, 'lib/modules'));
  machineHost = hostIn(root);
});

afterAll(() => rm(work, { recursive: true, force: true }));

/** Debian's current kernel package, unpacked and indexed. */
async function debianKernel(): Promise<string> {
  const { stdout } = await execa('apt-cache', ['depends', 'linux-image-amd64']);
  const name = /Depends: (\S+)/.exec(stdout)?.[1];
  if (name === undefined) throw new Error('apt knows no kernel; run `apt-get update`');
  return cached('initramfs-kernel', { name, recipe: 1 }, async (directory) => {
    await execa('apt-get', ['-o', 'APT::Sandbox::User=root', 'download', name], { cwd: directory });
    const target = join(directory, 'root');
    for (const archive of await readdir(directory)) {
      await execa('dpkg-deb', ['--extract', join(directory, archive), target]);
      await rm(join(directory, archive));
    }
    await execa('depmod', ['--basedir', target, ...(await readdir(join(target, 'lib/modules')))]);
    const virtio = join(target, 'sys/devices/pci0000:00/0000:00:04.0/virtio1');
    await mkdir(join(virtio, 'block/vda'), { recursive: true });
    await writeFile(join(virtio, 'modalias'), 'virtio:d00000002v00001AF4\n');
    await writeFile(join(dirname(virtio), 'modalias'), 'pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00\n');
    await mkdir(join(target, 'sys/class/block'), { recursive: true });
    await symlink('../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda', join(target, 'sys/class/block/vda'));
  });
}

/** This machine's files below a directory, as if that were the root. */
function hostIn(directory: string): HostReader {
  const host = createNodeHost();
  return {
    ...host,
    readFile: (path, options) => host.readFile(directory + path, options),
    readText: (path) => host.readText(directory + path),
    list: (path) => host.list(directory + path),
    status: (path) => host.status(directory + path),
    realPath: async (path) => (await host.realPath(directory + path))?.slice(directory.length),
  };
}

interface Scenario {
  /** Shell script that stands for the loader; its arguments are those of the real one. */
  readonly stage2: string;
  readonly timeoutSeconds?: number;
  readonly fileSystem?: 'ext4' | 'xfs' | 'vfat';
  readonly settings?: { payloadUuid?: string; payloadPath?: string; planId?: string };
  readonly payloadMib?: number;
  readonly kernelArguments?: readonly string[];
}

interface Run {
  readonly log: string;
  /** Whether the machine restarted by itself; otherwise it was still up when what was waited for came. */
  readonly restarted: boolean;
  readonly diskIsUnchanged: boolean;
  readonly disk: string;
}

/** Runs a machine until it restarts, or until it is still up some time after the pattern showed up on its console. */
async function run(scenario: Scenario, until?: RegExp): Promise<Run> {
  const directory = await mkdtemp(join(work, 'run-'));
  const disk = await makeDisk(directory, scenario);
  const { modules, missing } = await stage2Modules(machineHost, {
    release,
    blockDevices: ['vda'],
    fileSystems: ['ext4', 'xfs', 'vfat'],
    uefi: false,
  });
  expect(missing).toEqual([]);
  const initrd = join(directory, 'initrd');
  const settings = {
    payloadUuid: scenario.fileSystem === 'vfat' ? '0F0E-0D0C' : uuid,
    payloadFileSystem: scenario.fileSystem ?? 'ext4',
    payloadPath,
    timeoutSeconds: scenario.timeoutSeconds ?? 300,
    planId,
    ...scenario.settings,
  };
  const host: HostReader = {
    ...machineHost,
    readFile: (path, options) =>
      (path.startsWith('/lib/modules') ? machineHost : createNodeHost()).readFile(path, options),
  };
  await writeFile(initrd, await buildInitramfs({ host, modules, busybox: '/bin/busybox', init, settings }));
  const before = await sha256(disk);
  const result = await boot({ initrd, disk, kernelArguments: scenario.kernelArguments ?? [] }, until);
  return { ...result, diskIsUnchanged: (await sha256(disk)) === before, disk };
}

async function makeDisk(directory: string, scenario: Scenario): Promise<string> {
  const tree = join(directory, 'tree');
  const payload = join(tree, payloadPath);
  for (const name of ['runtime/lib', 'app']) await mkdir(join(payload, name), { recursive: true });
  await writeFile(join(payload, 'runtime/ld-linux-x86-64.so.2'), `#!/migrate/busybox sh\n${scenario.stage2}\n`, {
    mode: 0o755,
  });
  await writeFile(join(payload, 'runtime/node'), Buffer.alloc((scenario.payloadMib ?? 0) * 2 ** 20, 'node'));
  await writeFile(join(payload, 'app/stage2.js'), 'not run here\n');
  await writeFile(join(payload, 'plan.json'), `${JSON.stringify({ version: 1, id: planId }, null, 1)}\n`);
  const disk = join(directory, 'disk');
  await execa('truncate', ['-s', '400M', disk]);
  if (scenario.fileSystem === 'xfs') {
    await execa('mkfs.xfs', ['-q', '-m', `uuid=${uuid}`, '-p', await prototypeFile(directory, payload), disk]);
  } else if (scenario.fileSystem === 'vfat') {
    await execa('mkfs.vfat', ['-i', '0f0e0d0c', disk]);
    await execa('mcopy', ['-s', '-i', disk, join(tree, 'var'), '::']);
  } else {
    await execa('mkfs.ext4', ['-q', '-U', uuid, '-d', tree, disk]);
  }
  return disk;
}

/** mkfs.xfs fills a file system from a list like this one (mkfs.xfs(8), -p). */
async function prototypeFile(directory: string, payload: string): Promise<string> {
  const directories = payloadPath.slice(1).split('/');
  const text = `boot
0 0
d--755 0 0
${directories.map((name) => `${name} d--755 0 0`).join('\n')}
runtime d--755 0 0
ld-linux-x86-64.so.2 ---755 0 0 ${payload}/runtime/ld-linux-x86-64.so.2
node ---755 0 0 ${payload}/runtime/node
lib d--755 0 0
$
$
app d--755 0 0
stage2.js ---644 0 0 ${payload}/app/stage2.js
$
plan.json ---600 0 0 ${payload}/plan.json
${directories.map(() => '$').join('\n')}
$
`;
  const path = join(directory, 'prototype');
  await writeFile(path, text);
  return path;
}

function boot(
  { initrd, disk, kernelArguments }: { initrd: string; disk: string; kernelArguments: readonly string[] },
  until: RegExp | undefined,
): Promise<Pick<Run, 'log' | 'restarted'>> {
  const commandLine = stage2CommandLine('console=ttyS0 root=/dev/nowhere', ['quiet', ...kernelArguments]).join(' ');
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
      ...['-machine', 'pc', '-accel', 'tcg', '-cpu', 'qemu64', '-m', '256'],
      ...['-kernel', join(root, `boot/vmlinuz-${release}`), '-initrd', initrd, '-append', commandLine],
      ...['-drive', `file=${disk},format=raw,if=virtio,cache=unsafe`],
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  return new Promise((resolve, reject) => {
    let log = '';
    let wasSeen = false;
    let wasStopped = false;
    const limit = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`the machine neither restarted nor said ${until}; its console:\n${log}`));
    }, 240_000);
    child.stdout.on('data', (data: Buffer) => {
      log += data.toString('latin1').replaceAll('\r', '');
      if (wasSeen || !until?.test(log)) return;
      wasSeen = true;
      setTimeout(() => {
        wasStopped = child.kill('SIGKILL');
      }, lingerMs);
    });
    child.once('exit', () => {
      clearTimeout(limit);
      resolve({ log, restarted: !wasStopped });
    });
  });
}

async function sha256(path: string): Promise<string> {
  return createHash('sha256')
    .update(await readFile(path))
    .digest('hex');
}

const showArguments = 'echo "STAGE2 $*"';

test('ShellCheck finds nothing in init', async () => {
  expect((await execa('shellcheck', [init])).stdout).toBe('');
});

describe('init', () => {
  test('loads the payload, runs stage 2 from RAM and restarts when it is done', async () => {
    const script = `${showArguments}
echo "MOUNT $(grep /migrate/old /proc/mounts)"
echo "RUNS $0 ENVIRONMENT $(env | sort | tr '\\n' ' ')"
truncate -s 40M /image && mkdosfs /image && mkdir /fat && mount -o loop -t vfat /image /fat && echo FAT-MOUNTED
echo "PARAMETER $(cat /sys/module/loop/parameters/max_loop)"
cat /proc/sys/kernel/ctrl-alt-del | sed s/^/CAD/
umount /migrate/old && echo RELEASED
exit 0`;
    const result = await run({ stage2: script, kernelArguments: ['loop.max_loop=3'] });
    const payload = '/migrate/payload';
    expect(result.log).toContain(
      `STAGE2 --library-path ${payload}/runtime/lib ${payload}/runtime/node --single-threaded-gc --max-semi-space-size=1 --max-old-space-size=64 ` +
        `${payload}/app/stage2.js --plan ${payload}/plan.json --old-root /migrate/old --old-root-device /dev/vda\n`,
    );
    expect(result.log).toMatch(/MOUNT \/dev\/vda \/migrate\/old ext4 ro,/);
    expect(result.log).toContain(`RUNS ${payload}/runtime/ld-linux-x86-64.so.2 ENVIRONMENT HOME=/ PATH=/migrate/bin `);
    expect(result.log).toContain('FAT-MOUNTED\nPARAMETER 3\nCAD0\nRELEASED\n');
    expect(result.log).toContain(`migrate: stage 2 init, Linux ${release}\n`);
    expect(result.log).toContain('migrate: stage 2 is done; restarting\n');
    // The emulated processor lacks what this one needs.
    expect([...result.log.matchAll(/module (\S+) was not loaded/g)].map((match) => match[1])).toEqual(['crc32c_intel']);
    expect(result.log).not.toContain('FAILED');
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });

  test.each(['xfs', 'vfat'] as const)('takes the payload from %s', async (fileSystem) => {
    const result = await run({ stage2: 'grep /migrate/old /proc/mounts; exit 0', fileSystem });
    expect(result.log).toMatch(new RegExp(`/dev/vda /migrate/old ${fileSystem} ro,`));
    expect(result.log).toContain('stage 2 is done; restarting\n');
    // XFS clears the free part of its log at every mount, read-only or not (xlog_clear_stale_blocks).
    if (fileSystem === 'xfs') await execa('xfs_repair', ['-n', result.disk]);
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: fileSystem !== 'xfs' });
  });

  test('gives way to the old system when stage 2 fails before the point of no return', async () => {
    const result = await run({ stage2: 'exit 3' });
    expect(result.log).toContain('FAILED: stage 2 ended with status 3 before the point of no return');
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });

  test('gives way when stage 2 takes too long, and stops it before it decides', async () => {
    const script = 'trap "" TERM INT HUP; while :; do echo WORKING; sleep 0.2; done';
    const result = await run({ stage2: script, timeoutSeconds: 8 });
    const [before, after] = result.log.split('FAILED: the point of no return was not reached within 8 s');
    expect(before).toContain('WORKING\n');
    expect(after).toContain('the old system starts again; restarting');
    expect(after).not.toContain('WORKING');
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });

  test('after the point of no return it starts stage 2 again, and then waits instead of restarting', async () => {
    // The first run outlasts the timer, which must leave it alone.
    const script = `${showArguments}
case $* in *--resume) exit 5 ;; esac
: >${point}
sleep 12
echo STILL-HERE
exit 4`;
    const result = await run({ stage2: script, timeoutSeconds: 8 }, /so the machine waits/);
    expect(result.log).toContain('STILL-HERE\nmigrate: stage 2 ended with status 4; starting it again, 1 of 3\n');
    expect(result.log.match(/^STAGE2 .*$/gm)).toHaveLength(4);
    expect(result.log.match(/^STAGE2 .* --resume$/gm)).toHaveLength(3);
    expect(result.log).not.toMatch(/restarting/);
    expect(result.restarted).toBe(false);
  });

  test('restarts when stage 2 succeeds at a later start', async () => {
    const result = await run({ stage2: `case $* in *--resume) exit 0 ;; esac; : >${point}; kill -9 $$` });
    expect(result.log).toMatch(
      /ended with status 137; starting it again, 1 of 3\n[\s\S]*stage 2 is done; restarting\n/,
    );
    expect(result.restarted).toBe(true);
  });

  test.each<[string, Scenario, RegExp]>([
    [
      'there is no payload',
      { stage2: 'exit 0', settings: { payloadPath: '/elsewhere' } },
      /the payload is not complete: \/elsewhere\/runtime\/node is missing on \/dev\/vda/,
    ],
    [
      'no disk has the file system',
      { stage2: 'exit 0', settings: { payloadUuid: uuid.replace('0f', '1f') } },
      /no disk holds the file system 1f0e\S+; known are: vda/,
    ],
    [
      'the payload is that of another plan',
      { stage2: 'exit 0', settings: { planId: '0123' } },
      /belongs to another plan than 0123/,
    ],
    [
      'memory does not suffice',
      { stage2: 'exit 0', payloadMib: 160 },
      /too little memory: \d+ KiB are free, \d+ KiB are needed/,
    ],
  ])('gives way when %s', async (_name, scenario, reason) => {
    const result = await run(scenario);
    expect(result.log).toMatch(reason);
    expect(result.log).toContain('the old system starts again; restarting');
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });
});

describe('the closure over the modules of the Debian kernel', () => {
  const wanted = [
    ['ext4'],
    ['xfs'],
    ['btrfs'],
    ['vfat'],
    ['crypto-crc32c'],
    ['efivarfs'],
    ['usb-storage'],
    ['sd_mod'],
    ['nfsd'],
    ['pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01'],
    ['pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02'],
    ['virtio:d00000002v00001AF4'],
    ['mmc:block'],
    ['usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00'],
  ];

  test.each(wanted)('%s: as modprobe', async (name) => {
    const directory = join(root, 'lib/modules', release);
    const read = (file: string) => readFile(join(directory, file), 'utf8');
    const index = parseModuleIndex({
      release,
      dep: await read('modules.dep'),
      alias: await read('modules.alias'),
      softdep: await read('modules.softdep'),
      builtin: await read('modules.builtin'),
      builtinModinfo: await read('modules.builtin.modinfo'),
    });
    const { modules, missing } = moduleClosure(index, [name]);
    const config = join(work, 'empty');
    await mkdir(config, { recursive: true });
    const { stdout } = await execa('modprobe', ['-d', root, '-S', release, '-C', config, '--show-depends', '-a', name]);
    const expected = [...stdout.matchAll(/^insmod (\S+)/gm)].map((match) => match[1]?.slice(directory.length + 1));
    expect(modules.length).toBeGreaterThan(0);
    // kmod heeds only the first of several softdep lines for a module; the kernel would ask for the others while it runs.
    const more: readonly string[] =
      name === 'btrfs' ? ['kernel/arch/x86/crypto/sha256-ssse3.ko', 'kernel/crypto/xxhash_generic.ko'] : [];
    expect(modules.map((module) => module.path).sort()).toEqual([...new Set([...expected, ...more])].sort());
    expect(missing).toEqual([]);
  });
});
