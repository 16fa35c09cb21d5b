import { MigrateError } from '../error.ts';
import type { HostReader } from '../host/host.ts';
import { type Stage2Modules, stage2Modules } from '../initramfs/hardware-modules.ts';
import { inspectWatchdogs, type Watchdog } from '../watchdog/watchdogs.ts';
import { inspectAskedKernel } from './asked-kernel.ts';
import { inspectDisks } from './disks.ts';
import {
  type AreaPlace,
  type BootArea,
  type BootFile,
  type Disk,
  type Facts,
  type ListedFile,
  type Mount,
  mountOf,
  type OperatingSystem,
  type Place,
} from './facts.ts';
import { architectureOfElf, inspectKernel, parseProcessorFeatures } from './kernel.ts';
import { parseMountInfo, parseSwaps } from './mount-table.ts';
import { parseOsRelease } from './os-release.ts';
import { inspectFirmware } from './uefi.ts';
import { inspectWired } from './wired.ts';

/** A menu of this size is no menu; its text is then left empty, which no boot manager accepts. */
const bootFileLimitBytes = 1024 * 1024;

export interface Inspection {
  /** Paths whose file system the plan depends on: work directory, state directory, image. */
  readonly places: readonly string[];
  /** Kernel image that stage 2 is to start instead of the running kernel's, absolute. */
  readonly askedKernel?: string | undefined;
  /** Places of disks and files whose bytes decide how the machine boots. */
  readonly bootAreas?: (facts: Facts) => readonly AreaPlace[];
  /** Directories and files whose presence decides how the machine boots. */
  readonly bootListing?: (facts: Facts) => readonly string[];
  /** Boot configuration files to capture, chosen by the device packages once the rest is known. */
  readonly bootFiles: (facts: Facts) => readonly string[];
  /** Directories that boot managers write to, chosen once the boot files are known. */
  readonly bootPlaces: (facts: Facts) => readonly string[];
}

/** Takes a snapshot of a machine. Nothing is written, mounted or started. */
export async function inspect(host: HostReader, inspection: Inspection): Promise<Facts> {
  const [kernel, disks, firmware, os] = await Promise.all([
    inspectKernel(host),
    inspectDisks(host),
    inspectFirmware(host),
    inspectOperatingSystem(host),
  ]);
  const { askedKernel } = inspection;
  const asked = askedKernel === undefined ? undefined : await inspectAskedKernel(host, askedKernel, kernel);
  const mounts = parseMountInfo((await host.readText('/proc/self/mountinfo')) ?? '');
  const watchdogs = await inspectWatchdogs(host);
  const wired = await inspectWired(host);
  const places = await Promise.all(inspection.places.map((path) => inspectPlace(host, mounts, path)));
  const { modules, networkModules, missing } = await inspectModules(host, {
    release: asked !== undefined && 'release' in asked ? asked.release : kernel.release,
    disks,
    uefi: firmware.kind === 'uefi',
    watchdogs,
    networkDevices: wired.map(({ device }) => device),
    placeFileSystems: places.map((place) => mountOf(mounts, place.existing)?.fileSystem ?? ''),
  });
  const facts: Facts = {
    version: 1,
    userId: host.userId,
    hostname: ((await host.readText('/proc/sys/kernel/hostname')) ?? '').trim(),
    os,
    kernel: asked === undefined ? kernel : { ...kernel, asked },
    userland: await architectureOfElf(host, (await host.realPath('/bin/sh')) ?? '/bin/sh'),
    memory: parseMemInfo((await host.readText('/proc/meminfo')) ?? ''),
    firmware,
    hardware: await inspectHardware(host),
    disks,
    mounts,
    swaps: parseSwaps((await host.readText('/proc/swaps')) ?? ''),
    places,
    bootFiles: [],
    modules: { needed: modules, missing },
    ...(wired.length === 0
      ? {}
      : { wired: { interfaces: wired.map(({ name, mac }) => ({ name, mac })), modules: networkModules } }),
    ...(watchdogs.length === 0 ? {} : { watchdogs }),
    inContainer: await isContainer(host),
  };
  const areas = await readBootAreas(host, inspection.bootAreas?.(facts) ?? []);
  const withAreas: Facts = areas.length === 0 ? facts : { ...facts, bootAreas: areas };
  const listed = await listBootPlaces(host, withAreas, inspection.bootListing);
  const withBootFiles: Facts = { ...listed, bootFiles: await readBootFiles(host, inspection.bootFiles(listed)) };
  const bootPlaces = inspection.bootPlaces(withBootFiles).map((path) => inspectPlace(host, mounts, path));
  return { ...withBootFiles, places: [...places, ...(await Promise.all(bootPlaces))] };
}

async function inspectOperatingSystem(host: HostReader): Promise<OperatingSystem> {
  const text = (await host.readText('/etc/os-release')) ?? (await host.readText('/usr/lib/os-release'));
  return parseOsRelease(text ?? '');
}

async function inspectHardware(host: HostReader): Promise<Facts['hardware']> {
  const read = async (path: string): Promise<string | undefined> => {
    const text = (await host.readText(path))?.replaceAll('\0', '').trim();
    return text === '' ? undefined : text;
  };
  const vendor = await read('/sys/class/dmi/id/sys_vendor');
  const product = await read('/sys/class/dmi/id/product_name');
  const board = await read('/sys/class/dmi/id/board_name');
  const deviceTreeModel = await read('/proc/device-tree/model');
  const processorFeatures = parseProcessorFeatures((await host.readText('/proc/cpuinfo')) ?? '');
  return {
    ...(vendor === undefined ? {} : { vendor }),
    ...(product === undefined ? {} : { product }),
    ...(board === undefined ? {} : { board }),
    ...(deviceTreeModel === undefined ? {} : { deviceTreeModel }),
    ...(processorFeatures === undefined ? {} : { processorFeatures }),
  };
}

/** File systems of the new system, which stage 2 configures. */
const targetFileSystems = ['ext4', 'vfat'] as const;
/** Further ones that the payload may lie on; their modules are taken only where it does. */
const payloadFileSystems: readonly string[] = ['xfs'];

async function inspectModules(
  host: HostReader,
  request: {
    release: string;
    disks: readonly Disk[];
    uefi: boolean;
    watchdogs: readonly Watchdog[];
    networkDevices: readonly string[];
    placeFileSystems: readonly string[];
  },
): Promise<Stage2Modules> {
  const { release, disks, uefi, networkDevices } = request;
  const ofPlaces = payloadFileSystems.filter((name) => request.placeFileSystems.includes(name));
  return stage2Modules(host, {
    release,
    blockDevices: disks.map((disk) => disk.name),
    fileSystems: [...targetFileSystems, ...ofPlaces],
    uefi,
    networkDevices,
    devices: request.watchdogs.flatMap(({ hardware }) => (hardware === undefined ? [] : [hardware])),
  });
}

async function inspectPlace(host: HostReader, mounts: readonly Mount[], path: string): Promise<Place> {
  let ancestor = path;
  let existing = await host.realPath(ancestor);
  while (existing === undefined && ancestor !== '/') {
    ancestor = ancestor.slice(0, Math.max(ancestor.lastIndexOf('/'), 1)).replace(/^$/, '/');
    existing = await host.realPath(ancestor);
  }
  const found = existing ?? '/';
  return {
    path,
    existing: found,
    rest: path.slice(ancestor === '/' ? 0 : ancestor.length).replace(/^\//, ''),
    mountTarget: mountOf(mounts, found)?.target ?? '/',
    availableBytes: (await host.freeSpace(found)).availableBytes,
  };
}

/** MemTotal and MemAvailable of /proc/meminfo (proc(5)), which counts in KiB; before Linux 3.14 free plus cached. */
export function parseMemInfo(text: string): Facts['memory'] {
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? 0) * 1024;
  const available = field('MemAvailable');
  return {
    totalBytes: field('MemTotal'),
    availableBytes: available > 0 ? available : field('MemFree') + field('Cached'),
  };
}

async function readBootFiles(host: HostReader, paths: readonly string[]): Promise<readonly BootFile[]> {
  const files: BootFile[] = [];
  // Devices share boot managers, and boot managers files.
  for (const path of new Set(paths)) {
    const status = await host.status(path);
    if (status?.kind !== 'file') continue;
    const text = status.sizeBytes > bootFileLimitBytes ? '' : ((await host.readText(path)) ?? '');
    files.push({ path, sizeBytes: status.sizeBytes, mode: status.mode, text });
  }
  return files;
}

const bootAreaLimitBytes = 64 * 1024;

/** Places that cannot be read are left out, which no boot manager takes for free or known. */
async function readBootAreas(host: HostReader, places: readonly AreaPlace[]): Promise<readonly BootArea[]> {
  const areas = new Map<string, BootArea>();
  for (const { path, startByte, sizeBytes } of places) {
    const key = `${path} ${startByte} ${sizeBytes}`;
    if (areas.has(key) || sizeBytes > bootAreaLimitBytes || (await host.status(path)) === undefined) continue;
    const bytes = await readAt(host, path, { startByte, sizeBytes });
    if (bytes === undefined) continue;
    const isZero = bytes.length === sizeBytes && bytes.every((byte) => byte === 0);
    const contents = isZero ? {} : { contents: Buffer.from(bytes).toString('base64') };
    areas.set(key, { path, startByte, sizeBytes, ...contents });
  }
  return [...areas.values()];
}

async function readAt(
  host: HostReader,
  path: string,
  { startByte, sizeBytes }: { startByte: number; sizeBytes: number },
): Promise<Uint8Array | undefined> {
  try {
    const reader = await host.openRead(path);
    try {
      const bytes = new Uint8Array(sizeBytes);
      return bytes.subarray(0, await reader.read(bytes, startByte));
    } finally {
      await reader.close();
    }
  } catch (thrown) {
    if (thrown instanceof MigrateError) return undefined;
    throw thrown;
  }
}

/** As often as asking leads to new places, within reason. */
const listingRounds = 3;

async function listBootPlaces(host: HostReader, facts: Facts, ask: Inspection['bootListing']): Promise<Facts> {
  const asked = new Set<string>();
  const found = new Map<string, ListedFile>();
  const withListing = (): Facts => (asked.size === 0 ? facts : { ...facts, bootListing: [...found.values()] });
  const add = async (path: string): Promise<ListedFile['kind'] | undefined> => {
    const status = await host.status(path);
    if (status === undefined) return undefined;
    const kind = status.kind === 'file' || status.kind === 'directory' ? status.kind : 'device';
    found.set(path, { path, kind, sizeBytes: kind === 'file' ? status.sizeBytes : 0 });
    return kind;
  };
  for (let round = 0; round < listingRounds; round += 1) {
    const paths = (ask?.(withListing()) ?? []).filter((path) => !asked.has(path));
    for (const path of paths) {
      asked.add(path);
      if ((await add(path)) !== 'directory') continue;
      for (const name of await host.list(path)) await add(`${path}/${name}`);
    }
    if (paths.length === 0) break;
  }
  return withListing();
}

/** systemd's container interface, and the marker files of docker and podman. */
async function isContainer(host: HostReader): Promise<boolean> {
  for (const marker of ['/run/systemd/container', '/.dockerenv', '/run/.containerenv']) {
    if ((await host.status(marker)) !== undefined) return true;
  }
  return false;
}
