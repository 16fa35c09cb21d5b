// Which kernel modules stage 2 needs on this very machine: the drivers between its processor and its disks, and what it mounts.
import { doing, MigrateError } from '../error.ts';
import type { HostReader } from '../host/host.ts';
import type { KernelModule } from '../machine/facts.ts';
import { type ModuleFile, type ModuleIndex, moduleClosure, parseModuleIndex } from './kernel-modules.ts';
import { plainModuleBytes } from './module-decompress.ts';

interface Wanted {
  /** Without them stage 2 cannot work. */
  readonly required: readonly string[];
  /** Taken where the kernel has them. */
  readonly optional: readonly string[];
}

/**
 * What the kernel itself asks modprobe for at run time, and what modules.dep therefore does not know. There is no modprobe in
 * stage 2: an ext4 with checksums then fails to mount with ENOENT, a FAT with "codepage cp437 not found".
 */
const wantedForFileSystem: Readonly<Record<string, Wanted>> = {
  ext2: { required: ['ext4'], optional: ['crypto-crc32c'] },
  ext3: { required: ['ext4'], optional: ['crypto-crc32c'] },
  ext4: { required: ['ext4'], optional: ['crypto-crc32c'] },
  xfs: { required: ['xfs'], optional: ['crypto-crc32c'] },
  // CONFIG_FAT_DEFAULT_CODEPAGE is 437 everywhere; the character set for long names differs between distributions.
  vfat: { required: ['vfat', 'nls_cp437'], optional: ['nls_iso8859-1', 'nls_ascii', 'nls_utf8'] },
};

/**
 * CRC32C under its names before Linux 3.19, and the faster implementation for x86; and what restarts a Raspberry Pi, which is
 * behind no disk: without it `reboot` only halts.
 */
const alwaysWanted: Wanted = { required: ['loop'], optional: ['crc32c', 'crc32c_intel', 'bcm2835_wdt'] };
/** Firmware variables, for the boot entry of the new system. */
const wantedOnUefi: Wanted = { required: ['efivarfs'], optional: [] };

/** Raw sockets for udhcpc, where the kernel has them as a module. */
const wantedForDhcp: readonly string[] = ['af_packet'];

const indexLimitBytes = 32 * 1024 * 1024;
const moduleFileLimitBytes = 64 * 1024 * 1024;

export interface Stage2ModulesRequest {
  /** As `uname -r`. */
  readonly release: string;
  /** Kernel names of disks or partitions: sda, nvme0n1p1. */
  readonly blockDevices: readonly string[];
  /** As mount -t takes them. */
  readonly fileSystems: readonly string[];
  readonly uefi: boolean;
  /** Real paths in sysfs of other hardware whose drivers stage 2 needs. */
  readonly devices?: readonly string[];
  /** The same for network interfaces, whose modules are given apart. */
  readonly networkDevices?: readonly string[];
}

export interface Stage2Modules {
  /** In load order. */
  readonly modules: readonly KernelModule[];
  /** To be loaded after them. */
  readonly networkModules: readonly KernelModule[];
  readonly missing: readonly string[];
}

/**
 * All modules of the running kernel for stage 2, in load order with their size once unpacked, and what is needed but lies
 * neither in /lib/modules nor in the kernel itself. Throws `invalid-input` for damaged module files.
 */
export async function stage2Modules(host: HostReader, request: Stage2ModulesRequest): Promise<Stage2Modules> {
  const { directory, index } = await readModuleIndex(host, request.release);
  const lists = [
    ...request.fileSystems.map((name) => wantedForFileSystem[name] ?? { required: [name], optional: [] }),
    alwaysWanted,
    ...(request.uefi ? [wantedOnUefi] : []),
  ];
  const optional = lists.flatMap((list) => list.optional);
  const closure = moduleClosure(index, [
    ...(await wantedForBlockDevices(host, request.blockDevices)),
    ...(await wantedForDevices(host, request.devices ?? [])),
    ...(await watchdogDrivers(host, index)),
    ...optional,
    ...lists.flatMap((list) => list.required),
  ]);
  const modules: KernelModule[] = [];
  for (const file of closure.modules) modules.push(await withSize(host, directory, file));
  const network = moduleClosure(index, [
    ...(await wantedForDevices(host, request.networkDevices ?? [])),
    ...((request.networkDevices ?? []).length === 0 ? [] : wantedForDhcp),
  ]).modules.filter((file) => closure.modules.every(({ name }) => name !== file.name));
  const networkModules: KernelModule[] = [];
  for (const file of network) networkModules.push(await withSize(host, directory, file));
  return { modules, networkModules, missing: closure.missing.filter((name) => !optional.includes(name)) };
}

/**
 * Names of the bound drivers and modaliases of every device from the given block devices up to the root of the device tree.
 * Drivers come first: loaded first, they get their devices also where another driver's alias matches too.
 */
export async function wantedForBlockDevices(
  host: HostReader,
  deviceNames: readonly string[],
): Promise<readonly string[]> {
  const devices: string[] = [];
  for (const name of deviceNames) {
    // A '/' in a device name is a '!' in sysfs.
    const path = await host.realPath(`/sys/class/block/${name.replaceAll('/', '!')}`);
    if (path === undefined)
      throw new MigrateError('not-found', `/sys/class/block/${name}: there is no such block device`);
    devices.push(path, ...(await nvmeControllers(host, path)));
  }
  return wantedForDevices(host, devices);
}

/** The same for devices by their real paths in sysfs. */
async function wantedForDevices(host: HostReader, paths: readonly string[]): Promise<readonly string[]> {
  const drivers = new Set<string>();
  const aliases = new Set<string>();
  const visited = new Set<string>();
  for (const path of paths) {
    for (let current = path; isDevice(current) && !visited.has(current); current = parentOf(current)) {
      visited.add(current);
      const driver = await host.realPath(`${current}/driver/module`);
      if (driver !== undefined) drivers.add(baseName(driver));
      const alias = (await host.readText(`${current}/modalias`))?.trim();
      if (alias !== undefined && alias !== '') aliases.add(alias);
    }
  }
  return [...drivers, ...aliases];
}

/**
 * Loaded drivers of watchdogs: one that counts down must be served in stage 2 too. Not every driver says in sysfs which device it
 * serves. softdog watches only the kernel that it runs in.
 */
async function watchdogDrivers(host: HostReader, index: ModuleIndex): Promise<readonly string[]> {
  const loaded = await host.list('/sys/module');
  return loaded.filter((name) => name !== 'softdog' && index.files.get(name)?.path.includes('/drivers/watchdog/'));
}

/** A disk of NVMe multipath lies below a virtual subsystem, which links to the controllers that lead to it. */
async function nvmeControllers(host: HostReader, device: string): Promise<readonly string[]> {
  const subsystem = /^\/sys\/devices\/virtual\/nvme-subsystem\/[^/]+/.exec(device)?.[0];
  if (subsystem === undefined) return [];
  const controllers: string[] = [];
  for (const name of await host.list(subsystem)) {
    const path = /^nvme\d+$/.test(name) ? await host.realPath(`${subsystem}/${name}`) : undefined;
    if (path !== undefined) controllers.push(path);
  }
  return controllers;
}

/** Reads the index that depmod made. A kernel without modules gives an empty one. */
async function readModuleIndex(host: HostReader, release: string): Promise<{ directory: string; index: ModuleIndex }> {
  const candidates = [`/lib/modules/${release}`, `/usr/lib/modules/${release}`];
  let directory = candidates[0] ?? '';
  for (const candidate of [...candidates].reverse()) {
    if ((await host.status(`${candidate}/modules.dep`)) !== undefined) directory = candidate;
  }
  const read = async (name: string): Promise<string> => {
    const path = `${directory}/${name}`;
    if ((await host.status(path)) === undefined) return '';
    return new TextDecoder().decode(await host.readFile(path, { limitBytes: indexLimitBytes }));
  };
  const index = parseModuleIndex({
    release,
    dep: await read('modules.dep'),
    alias: await read('modules.alias'),
    softdep: await read('modules.softdep'),
    builtin: await read('modules.builtin'),
    builtinModinfo: await read('modules.builtin.modinfo'),
  });
  return { directory, index };
}

async function withSize(host: HostReader, directory: string, { name, path }: ModuleFile): Promise<KernelModule> {
  // depmod writes absolute paths for modules outside of its directory.
  const absolute = path.startsWith('/') ? path : `${directory}/${path}`;
  return doing('reading the kernel modules for stage 2', 'read-failed', async () => {
    if (absolute.endsWith('.ko')) {
      const status = await host.status(absolute);
      if (status?.kind === 'file') return { name, path: absolute, sizeBytes: status.sizeBytes };
    }
    const bytes = await host.readFile(absolute, { limitBytes: moduleFileLimitBytes });
    return { name, path: absolute, sizeBytes: await plainModuleBytes(absolute, bytes) };
  });
}

function isDevice(path: string): boolean {
  return path.startsWith('/sys/devices/');
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'));
}

function baseName(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
