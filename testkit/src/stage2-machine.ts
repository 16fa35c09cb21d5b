// Debian's kernel with the initramfs of stage 2 in an emulated machine, whose disk holds a fake payload: a script stands for
// the loader that starts Node.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  buildInitramfs,
  createNodeHost,
  type HostReader,
  type Stage2BootSettings,
  stage2CommandLine,
  stage2Modules,
} from '@migrate/core';
import { execa } from 'execa';
import { kernelPackage } from './bundle/kernel-part.ts';
import { cached } from './cached.ts';

export const uuid = '0f0e0d0c-0b0a-4908-8706-050403020100';
export const planId = 'fedcba9876543210fedcba9876543210';
export const payloadPath = '/var/lib/balena-migrate/payload';
export const point = '/run/migrate/point-of-no-return';
const scripts = join(import.meta.dirname, '../../packages/cli-migrate/init');
export const init = join(scripts, 'init.sh');
export const network = join(scripts, 'network.sh');
/** Of the wired interface that `hasNetwork` puts in. */
export const networkMac = '02:00:00:00:00:01';
/** How long a machine must stay up after the pattern that is waited for. */
const lingerMs = 10_000;

const networkHardware = '/sys/devices/pci0000:00/0000:00:06.0';
/** QEMU's i6300esb where `hasWatchdog` puts it. */
const watchdogHardware = '/sys/devices/pci0000:00/0000:00:05.0';

/** A root directory with the kernel, its modules, and a sysfs that shows a virtio disk. */
export interface KernelTree {
  readonly root: string;
  readonly release: string;
}

/** Debian's current kernel package, unpacked and indexed, with such a sysfs. */
export async function debianKernel(): Promise<KernelTree> {
  const kernel = await kernelPackage();
  const inputs = { version: kernel.version, release: kernel.release, recipe: 4 };
  const directory = await cached('initramfs-kernel', inputs, async (directory) => {
    const target = join(directory, 'root');
    await execa('cp', ['-al', kernel.root, target]);
    const virtio = join(target, 'sys/devices/pci0000:00/0000:00:04.0/virtio1');
    await mkdir(join(virtio, 'block/vda'), { recursive: true });
    await writeFile(join(virtio, 'modalias'), 'virtio:d00000002v00001AF4\n');
    await writeFile(join(dirname(virtio), 'modalias'), 'pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00\n');
    const card = join(target, networkHardware, 'virtio2');
    await mkdir(card, { recursive: true });
    await writeFile(join(card, 'modalias'), 'virtio:d00000001v00001AF4\n');
    await writeFile(join(dirname(card), 'modalias'), 'pci:v00001AF4d00001000sv00001AF4sd00000001bc02sc00i00\n');
    await mkdir(join(target, watchdogHardware), { recursive: true });
    // Of drivers/watchdog/i6300esb.c: vendor 8086, device 25AB.
    await writeFile(
      join(target, watchdogHardware, 'modalias'),
      'pci:v00008086d000025ABsv00001AF4sd00001100bc08sc80i00\n',
    );
    await mkdir(join(target, 'sys/class/block'), { recursive: true });
    await symlink('../../devices/pci0000:00/0000:00:04.0/virtio1/block/vda', join(target, 'sys/class/block/vda'));
  });
  return { root: join(directory, 'root'), release: kernel.release };
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

export interface Scenario {
  /** Shell script that stands for the loader; its arguments are those of the real one. */
  readonly stage2: string;
  readonly timeoutSeconds?: number;
  readonly fileSystem?: 'ext4' | 'xfs' | 'vfat';
  readonly settings?: Partial<Stage2BootSettings>;
  /** Puts a watchdog into the machine that resets it, and its driver into stage 2. */
  readonly hasWatchdog?: boolean;
  /** Puts a wired interface into the machine, behind which QEMU serves DHCP, and its driver into stage 2. */
  readonly hasNetwork?: boolean;
  /** Typed on the console when the pattern shows up there. */
  readonly type?: { readonly after: RegExp; readonly text: string };
  readonly payloadMib?: number;
  readonly kernelArguments?: readonly string[];
}

export interface Run {
  readonly log: string;
  /** Whether the machine restarted by itself; otherwise it was still up when what was waited for came. */
  readonly restarted: boolean;
  readonly diskIsUnchanged: boolean;
  readonly disk: string;
}

/** Runs a machine until it restarts, or until it is still up some time after the pattern showed up on its console. */
export async function runStage2(
  { kernel, work }: { kernel: KernelTree; work: string },
  scenario: Scenario,
  until?: RegExp,
): Promise<Run> {
  const machineHost = hostIn(kernel.root);
  const directory = await mkdtemp(join(work, 'run-'));
  const disk = await makeDisk(directory, scenario);
  const { modules, networkModules, missing } = await stage2Modules(machineHost, {
    release: kernel.release,
    blockDevices: ['vda'],
    fileSystems: ['ext4', 'xfs', 'vfat'],
    uefi: false,
    devices: scenario.hasWatchdog === true ? [watchdogHardware] : [],
    networkDevices: scenario.hasNetwork === true ? [`${networkHardware}/virtio2`] : [],
  });
  if (missing.length > 0) throw new Error(`Debian's kernel lacks ${missing.join(', ')}`);
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
  await writeFile(
    initrd,
    await buildInitramfs({
      host,
      modules: [...modules, ...networkModules],
      busybox: '/bin/busybox',
      init,
      ...(scenario.hasNetwork === true ? { network } : {}),
      settings,
    }),
  );
  const before = await sha256(disk);
  const result = await boot({ kernel, initrd, disk, scenario }, until);
  return { ...result, diskIsUnchanged: (await sha256(disk)) === before, disk };
}

async function makeDisk(directory: string, scenario: Scenario): Promise<string> {
  const tree = join(directory, 'tree');
  const payload = join(tree, payloadPath);
  for (const name of ['runtime/lib', 'app']) await mkdir(join(payload, name), { recursive: true });
  await writeFile(join(payload, 'runtime/ld.so'), `#!/migrate/busybox sh\n${scenario.stage2}\n`, {
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
ld.so ---755 0 0 ${payload}/runtime/ld.so
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
  { kernel, initrd, disk, scenario }: { kernel: KernelTree; initrd: string; disk: string; scenario: Scenario },
  until: RegExp | undefined,
): Promise<Pick<Run, 'log' | 'restarted'>> {
  const commandLine = stage2CommandLine('console=ttyS0 root=/dev/nowhere', [
    'quiet',
    // On a busy machine the emulated timer comes too late for the kernel's check of it.
    'no_timer_check',
    ...(scenario.kernelArguments ?? []),
  ]).join(' ');
  const child = spawn(
    'qemu-system-x86_64',
    [
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
      ...['-machine', 'pc', '-accel', 'tcg', '-cpu', 'qemu64', '-m', '256'],
      ...['-kernel', join(kernel.root, `boot/vmlinuz-${kernel.release}`), '-initrd', initrd, '-append', commandLine],
      ...['-drive', `file=${disk},format=raw,if=virtio,cache=unsafe`],
      ...(scenario.hasNetwork === true
        ? ['-netdev', 'user,id=net0', '-device', `virtio-net-pci,netdev=net0,mac=${networkMac},addr=6,romfile=`]
        : []),
      ...(scenario.hasWatchdog === true ? ['-device', 'i6300esb,addr=5', '-action', 'watchdog=reset'] : []),
    ],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  );
  return new Promise((resolve, reject) => {
    let log = '';
    let wasSeen = false;
    let wasStopped = false;
    let typing = scenario.type;
    const limit = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`the machine neither restarted nor said ${until}; its console:\n${log}`));
    }, 240_000);
    child.stdout.on('data', (data: Buffer) => {
      log += data.toString('latin1').replaceAll('\r', '');
      if (typing?.after.test(log) === true) {
        child.stdin.write(typing.text);
        typing = undefined;
      }
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
