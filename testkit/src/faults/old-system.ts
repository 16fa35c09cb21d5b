// The old system of a PC, mounted on this machine: programs run in it as on the PC itself, with its disk, its boot files and its
// kernel's modules, but with no emulation. What only its own kernel could say (/sys, some of /proc) is put there as files, which say
// what QEMU's PC with a virtio disk says.
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { debianDisk, diskBytes } from '../debian-disk.ts';

/** As debian-disk.ts makes the table of its BIOS disk with MBR. */
const startSector = 2048;
const sectorBytes = 512;
/** Where its file system begins on the disk. */
export const partitionStartByte = startSector * sectorBytes;
export const diskSerial = 'BROWNFIELD';

export interface RunResult {
  readonly exitCode: number;
  readonly output: string;
}

export interface OldSystem {
  /** Where its root directory is on this machine. */
  readonly root: string;
  /** The image of its disk, raw; complete once the system is closed. */
  readonly disk: string;
  /** Runs a program in it. `around` is a command that takes the rest as its arguments, like strace. */
  run(argv: readonly string[], options?: { around?: readonly string[] }): Promise<RunResult>;
  close(): Promise<void>;
}

export interface OldSystemOptions {
  /** An empty directory for its files. */
  readonly directory: string;
  /** A disk that was made before; a freshly installed one where it is left out. */
  readonly disk?: string;
  /** More files below /sys. */
  readonly sysfs?: Readonly<Record<string, string>>;
}

/** Mounts it. Needs root. */
export async function openOldSystem({ directory, disk: former, sysfs = {} }: OldSystemOptions): Promise<OldSystem> {
  const root = join(directory, 'root');
  const disk = former ?? join(directory, 'disk.raw');
  await mkdir(root, { recursive: true });
  if (former === undefined) {
    const { disk: source } = await debianDisk('bios-mbr');
    await execa('qemu-img', ['convert', '-O', 'raw', source, disk]);
  }
  const cleanups: (() => Promise<unknown>)[] = [];
  const close = async (): Promise<void> => {
    for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  };
  const attach = async (...args: readonly string[]): Promise<string> => {
    const { stdout } = await execa('losetup', ['--find', '--show', ...args, disk]);
    cleanups.push(() => execa('losetup', ['--detach', stdout]));
    return stdout;
  };
  const mount = async (target: string, ...args: readonly string[]): Promise<void> => {
    const path = join(root, target);
    await execa('mount', [...args, path]);
    cleanups.push(() => execa('umount', [path]));
  };
  try {
    const whole = await attach();
    const sectors = diskBytes / sectorBytes - startSector;
    const partition = await attach(`--offset=${partitionStartByte}`, `--sizelimit=${sectors * sectorBytes}`);
    // Without barriers, so that a thousand fsyncs take no time: what this machine's own disk keeps is not looked at.
    await mount('', '-t', 'ext4', '-o', 'nobarrier', partition);
    await mount('proc', '-t', 'proc', 'proc');
    for (const target of ['sys', 'dev', 'run']) await mount(target, '-t', 'tmpfs', '-o', 'mode=755', 'tmpfs');
    const numbers = { whole: await deviceNumber(whole), partition: await deviceNumber(partition) };
    await makeDevices(join(root, 'dev'), numbers);
    await makeSysfs(join(root, 'sys'), { ...numbers, sectors, more: sysfs });
    for (const [path, contents] of Object.entries(await procFiles(root, partition))) {
      const file = join(root, 'run', `proc-${path.replaceAll('/', '-')}`);
      await writeFile(file, contents);
      await mount(join('proc', path), '--bind', file);
    }
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return {
    root,
    disk,
    run: async (argv, { around = [] } = {}) => {
      const [command = '', ...args] = [...around, '/usr/sbin/chroot', root, ...argv];
      const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...singleFileThread };
      const result = await execa(command, args, { env, extendEnv: false, reject: false, all: true, timeout: 120_000 });
      return { exitCode: result.exitCode ?? signalStatus, output: result.all };
    },
    close,
  };
}

/** Node then makes one file operation at a time, always by the same thread, so that they can be counted. */
const singleFileThread = { UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0' };
/** Stands for the status of a program that a signal ended. */
export const signalStatus = 128 + 9;

async function deviceNumber(device: string): Promise<string> {
  const { stdout } = await execa('cat', [`/sys/block/${device.replace('/dev/', '')}/dev`]);
  return stdout;
}

interface Numbers {
  readonly whole: string;
  readonly partition: string;
}

async function makeDevices(directory: string, { whole, partition }: Numbers): Promise<void> {
  const nodes = [
    ...[['null', 'c', '1:3'] as const, ['zero', 'c', '1:5'] as const, ['random', 'c', '1:8'] as const],
    ...[['urandom', 'c', '1:9'] as const, ['vda', 'b', whole] as const, ['vda1', 'b', partition] as const],
  ];
  for (const [name, kind, number] of nodes)
    await execa('mknod', ['-m', '666', join(directory, name), kind, ...number.split(':')]);
}

async function makeSysfs(
  directory: string,
  { whole, partition, sectors, more }: Numbers & { sectors: number; more: Readonly<Record<string, string>> },
): Promise<void> {
  const pci = 'devices/pci0000:00/0000:00:04.0';
  const block = `${pci}/virtio1/block/vda`;
  const files: Record<string, string> = {
    [`${pci}/modalias`]: 'pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00',
    [`${pci}/virtio1/modalias`]: 'virtio:d00000002v00001AF4',
    [`${block}/dev`]: whole,
    [`${block}/size`]: String(diskBytes / sectorBytes),
    [`${block}/ro`]: '0',
    [`${block}/removable`]: '0',
    [`${block}/serial`]: diskSerial,
    [`${block}/queue/logical_block_size`]: String(sectorBytes),
    [`${block}/vda1/dev`]: partition,
    [`${block}/vda1/partition`]: '1',
    [`${block}/vda1/start`]: String(startSector),
    [`${block}/vda1/size`]: String(sectors),
    'class/dmi/id/sys_vendor': 'QEMU',
    'class/dmi/id/product_name': 'Standard PC (i440FX + PIIX, 1996)',
    ...more,
  };
  for (const [path, contents] of Object.entries(files)) {
    await mkdir(join(directory, dirname(path)), { recursive: true });
    await writeFile(join(directory, path), `${contents}\n`);
  }
  const links: Record<string, string> = {
    'block/vda': block,
    'class/block/vda': block,
    [`dev/block/${whole}`]: block,
    [`dev/block/${partition}`]: `${block}/vda1`,
  };
  for (const [path, target] of Object.entries(links)) {
    await mkdir(join(directory, dirname(path)), { recursive: true });
    await symlink(`/sys/${target}`, join(directory, path));
  }
}

/** What its own kernel would say there. */
async function procFiles(root: string, partition: string): Promise<Readonly<Record<string, string>>> {
  const [release = ''] = await readdir(join(root, 'lib/modules'));
  const { stdout: uuid } = await execa('blkid', ['-s', 'UUID', '-o', 'value', partition]);
  return {
    'sys/kernel/osrelease': `${release}\n`,
    'sys/kernel/hostname': 'brownfield\n',
    cmdline: `BOOT_IMAGE=/boot/vmlinuz-${release} root=UUID=${uuid} ro console=tty0 console=ttyS0,115200 quiet\n`,
    // The cache of a loop device goes when nothing has it open any more: there is none to be dropped, and this machine keeps its own.
    'sys/vm/drop_caches': '',
    meminfo: 'MemTotal: 1000000 kB\nMemFree: 800000 kB\nMemAvailable: 800000 kB\n',
  };
}
