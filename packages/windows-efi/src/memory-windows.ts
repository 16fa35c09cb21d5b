// A machine with Windows in memory, for tests: it answers PowerShell from a fixture, keeps what it is told to change, and writes down
// what it was asked. Its volumes have paths with slashes, as a MemoryHost's files do.
import {
  createMemoryHost,
  type Execution,
  type MemoryHost,
  MigrateError,
  migratedNetworks,
  type Plan,
  type Step,
  type StepHandlers,
  type StepOf,
} from '@migrate/core';
import { inspectWindows } from './facts/inspect-windows.ts';
import { collectWindowsNetworks } from './network/collect-windows-networks.ts';
import { makeWindowsPlan } from './plan/make-windows-plan.ts';
import { windowsSteps } from './steps/windows-steps.ts';
import { bootParts, pcDevice, readerOf, runtime, windowsAssets, windowsConfig } from './windows-fixture.ts';

export interface MemoryWindows {
  readonly host: MemoryHost;
  /** Operations in their order, with their arguments, as their scripts begin. */
  readonly asked: string[];
  /** Contents of global firmware variables by name, hexadecimal. */
  readonly variables: Map<string, string>;
  /** All that undo must give back: disks, firmware variables, and the files of the system partition. */
  snapshot(): string;
  /** Takes the file system off the newest partition. */
  unformat(): void;
  /** Has them renumbered as a restart may: a disk that was plugged in meanwhile comes first, with a partition wherever ours has one. */
  renumberDisks(): void;
  /** A partition of another size, not formatted, where the newest was. */
  replaceNewest(): void;
  /** Partitions of the disk with a GUID, by places. */
  partitionsOf(diskGuid: string): string;
  /** Whether the system partition has a drive letter. */
  espHasLetter: boolean;
  /** Stage 1 of a plan, with what it copies where this machine has it. */
  execution(plan: Plan): Execution;
}

interface PrintedPartition {
  number: number;
  offsetBytes: number;
  sizeBytes: number;
  guid: string;
  volume: { path: string; fileSystem: string; label: string; serial: number } | null;
}
interface PrintedDisk {
  number: number;
  guid: string;
  partitions: PrintedPartition[];
}
interface PrintedDisks {
  disks: PrintedDisk | PrintedDisk[];
}

const payloadVolume = '/volume';
const espVolume = '/esp';
const bootManager = `${espVolume}/EFI/Microsoft/Boot/bootmgfw.efi`;

export interface MemoryWindowsOptions {
  /** Called before each operation; what it throws is the failure of that operation. */
  readonly onOperation?: (operation: string, args: Readonly<Record<string, unknown>>) => void;
}

export async function createMemoryWindows(machine: string, options: MemoryWindowsOptions = {}): Promise<MemoryWindows> {
  const read = readerOf(machine);
  const printed = (await read('read-disks')) as PrintedDisks;
  const disks = Array.isArray(printed.disks) ? printed.disks : [printed.disks];
  const asked: string[] = [];
  const variables = new Map([
    ['BootOrder', '0000'],
    ['Boot0000', '0100000004007f00'],
  ]);
  const partitionsOf = (args: Readonly<Record<string, unknown>>): PrintedPartition[] => {
    const [disk, twin] = disks.filter(({ guid }) => bareGuid(guid) === args.diskGuid);
    if (disk === undefined || twin !== undefined) throw new Error(`not one disk has the GUID ${args.diskGuid}`);
    return disk.partitions;
  };
  const partitionOf = (args: Readonly<Record<string, unknown>>): PrintedPartition => {
    const partition = partitionsOf(args).find(({ guid }) => bareGuid(guid) === args.guid);
    if (partition === undefined) throw new Error(`there is no partition ${args.guid}`);
    return partition;
  };
  let espHasLetter = false;
  const operations: Record<string, (args: Readonly<Record<string, unknown>>) => unknown> = {
    'read-system': () => read('read-system'),
    'read-networks': () => read('read-networks'),
    'export-wifi-profiles': () => read('export-wifi-profiles'),
    'read-disks': () => ({ ...printed, disks }),
    'resize-partition': (args) => {
      const partition = partitionOf(args);
      partition.sizeBytes = Number(args.sizeBytes);
      return { sizeBytes: partition.sizeBytes };
    },
    'create-partition': (args) => {
      const partitions = partitionsOf(args);
      const [offsetBytes, sizeBytes] = [Number(args.offsetBytes), Number(args.sizeBytes)];
      const inTheWay = partitions.find(
        (other) => other.offsetBytes < offsetBytes + sizeBytes && offsetBytes < other.offsetBytes + other.sizeBytes,
      );
      if (inTheWay !== undefined) throw new Error(`partition ${inTheWay.number} is in the way`);
      const number = Math.max(...partitions.map((partition) => partition.number)) + 1;
      const guid = '{0badcafe-0000-4000-8000-000000000001}';
      const volume = { path: payloadVolume, fileSystem: 'FAT32', label: String(args.label), serial: 0xabcd1234 };
      partitions.push({ number, offsetBytes, sizeBytes, guid, volume });
      return { number, guid, offsetBytes, sizeBytes, accessPath: payloadVolume };
    },
    'remove-partition': (args) => {
      const partitions = partitionsOf(args);
      const index = partitions.findIndex(({ offsetBytes }) => offsetBytes === args.offsetBytes);
      if (index < 0) return { removed: false };
      const { volume, sizeBytes } = partitions[index] ?? {};
      if (sizeBytes !== args.sizeBytes || (volume && volume.label !== args.label)) throw new Error('it is not ours');
      partitions.splice(index, 1);
      return { removed: true };
    },
    'read-firmware-variable': ({ name }) => {
      const hex = variables.get(String(name));
      return hex === undefined ? { exists: false } : { exists: true, attributes: 7, hex };
    },
    'write-firmware-variable': ({ name, hex }) => {
      variables.set(String(name), String(hex));
      return { written: true };
    },
    'delete-firmware-variable': ({ name }) => ({ deleted: variables.delete(String(name)) }),
    'mount-esp': (args) => {
      partitionOf(args);
      const added = !espHasLetter;
      espHasLetter = true;
      return { path: espVolume, added };
    },
    'unmount-esp': (args) => {
      partitionOf(args);
      if (args.added === true) espHasLetter = false;
      return { unmounted: args.added === true };
    },
    restart: () => ({ restarting: true }),
  };
  const newest = (): PrintedPartition[] =>
    disks.flatMap(({ partitions }) => partitions.filter(({ volume }) => volume?.path === payloadVolume));
  const host = createMemoryHost({
    files: {
      [`${payloadVolume}/System Volume Information`]: '',
      // In place of what `localPlan` leaves out.
      [`${payloadVolume}/balena-migrate/payload/files/config.json`]: '{}',
      [bootManager]: 'what starts Windows',
      ...bundleFiles(),
    },
    run: async (command, args) => {
      const script = Buffer.from(args.at(-1) ?? '', 'base64').toString('utf16le');
      const [, operation = '', json = ''] = /^# migrate:(\S+) (.*)$/m.exec(script) ?? [];
      const act = operations[operation];
      if (command !== 'powershell.exe' || act === undefined)
        throw new MigrateError('not-found', `${command} ${operation}`);
      const given = JSON.parse(json) as Readonly<Record<string, unknown>>;
      asked.push(`${operation} ${json}`);
      options.onOperation?.(operation, given);
      return { stdout: JSON.stringify(await act(given)), stderr: '' };
    },
  });
  return {
    host,
    asked,
    variables,
    snapshot: () =>
      JSON.stringify(
        [disks, [...variables].sort(), host.snapshot().filter((line) => line.startsWith(espVolume))],
        null,
        1,
      ),
    unformat: () => {
      for (const made of newest()) made.volume = null;
    },
    renumberDisks: () => {
      const foreign = structuredClone(disks).map((disk, index) => ({
        ...disk,
        guid: `{f0e1f0e1-0000-4000-8000-00000000000${index}}`,
        partitions: disk.partitions.map((partition) => ({ ...partition, volume: null })),
      }));
      disks.unshift(...foreign);
      for (const [number, disk] of disks.entries()) disk.number = number;
    },
    replaceNewest: () => {
      for (const made of newest()) Object.assign(made, { sizeBytes: made.sizeBytes / 2, volume: null });
    },
    partitionsOf: (diskGuid) => JSON.stringify(partitionsOf({ diskGuid }), null, 1),
    get espHasLetter() {
      return espHasLetter;
    },
    set espHasLetter(has) {
      espHasLetter = has;
    },
    execution: (plan) => ({
      steps: localPlan(plan).stage1,
      // Stage 2's own steps never run here.
      handlers: windowsSteps as unknown as StepHandlers,
      context: { host, plan, emit: () => {}, log: () => new Uint8Array() },
      journalPath: '/state/journal.json',
    }),
  };
}

/** Facts and plan of a hand-written machine. */
export async function planFor(machine: string, windowsBoot?: 'boot-manager') {
  const read = readerOf(machine);
  const config = windowsConfig(windowsBoot === undefined ? {} : { windowsBoot });
  const assets = windowsAssets({ networks: migratedNetworks(await collectWindowsNetworks(read), config) });
  const facts = await inspectWindows(read);
  return {
    facts,
    ...makeWindowsPlan({ config, facts, assets, boot: bootParts, device: pcDevice, toolVersion: '0.1.0' }),
  };
}

/** Everything that the steps copy, some bytes each. */
function bundleFiles(): Record<string, string> {
  const paths = [...runtime.files.map(({ path }) => `/migrate/${path}`), '/migrate/image.img.gz'];
  const boot = [bootParts.kernel, bootParts.loader, ...bootParts.modules].map(({ path }) => localPath(path));
  return {
    // As every kernel module begins.
    ...Object.fromEntries([...paths, ...boot].map((path) => [path, `\u007fELF of ${path}`])),
    '/state/.keep': '',
  };
}

/** A path of the fixture as the memory host has it. */
function localPath(path: string): string {
  return path.replace(/^C:/, '').replaceAll('\\', '/');
}

/** config.json is left out: what is in it is checked against the plan's hash, which is made up here. */
function localPlan(plan: Plan): Plan {
  const text = JSON.stringify(plan, (_, value: unknown) =>
    typeof value === 'string' && value.startsWith('C:\\migrate') ? localPath(value) : value,
  );
  const local = JSON.parse(text) as Plan;
  const stage1 = local.stage1.filter(({ id }) => id !== 'write-config-json');
  return {
    ...local,
    stage1: stage1.map((step) => (step.kind === 'on-payload-partition' ? withLittleRoom(step) : step)),
  };
}

/** What is reserved would be in memory here. */
function withLittleRoom(outer: StepOf<'on-payload-partition'>): Step {
  const { step } = outer;
  return step.kind === 'reserve-lifeboat' ? { ...outer, step: { ...step, sizeBytes: 4096 } } : outer;
}

/** As plans have it. */
function bareGuid(printed: string): string {
  return printed.replace(/[{}]/g, '').toLowerCase();
}
