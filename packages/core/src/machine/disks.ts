import { readFileSystemSignature } from '../disk/file-system-signature.ts';
import type { PartitionTable } from '../disk/partition.ts';
import { readPartitionTable } from '../disk/partition-table.ts';
import type { FileSystemSignature } from '../disk/signature-fields.ts';
import { MigrateError, messageOf } from '../error.ts';
import type { ByteReader, HostReader } from '../host/host.ts';
import type { Disk, DiskPartition } from './facts.ts';

const sysfsSectorBytes = 512; // sysfs counts in 512-byte units whatever the disk's sector size (block/genhd.c)
const bootCodeBytes = 440;
/** Virtual and removable-media drivers that are never a migration target. */
const ignoredNames = /^(loop|ram|zram|sr|fd|nbd|dm-|md|mtdblock)/;
/** Hardware partitions of an eMMC. */
const emmcHardwarePartition = /^mmcblk\d+(boot\d+|rpmb|gp\d+)$/;

/** Reads all real disks from sysfs, their partition tables and file-system signatures from the devices themselves. */
export async function inspectDisks(host: HostReader): Promise<readonly Disk[]> {
  const disks: Disk[] = [];
  for (const name of await host.list('/sys/block')) {
    if (ignoredNames.test(name) || emmcHardwarePartition.test(name)) continue;
    const disk = await inspectDisk(host, name);
    if (disk.sizeBytes > 0) disks.push(disk);
  }
  return disks;
}

async function inspectDisk(host: HostReader, name: string): Promise<Disk> {
  const directory = `/sys/block/${name}`;
  const attribute = (file: string): Promise<string | undefined> => trimmed(host, `${directory}/${file}`);
  const path = `/dev/${name.replaceAll('!', '/')}`;
  const logicalSectorSize = Number((await attribute('queue/logical_block_size')) ?? 512);
  const model = await attribute('device/model');
  const serial = (await attribute('serial')) ?? (await attribute('device/serial'));
  const wwid = (await attribute('wwid')) ?? (await attribute('device/wwid')) ?? (await attribute('device/cid'));
  const sizeBytes = Number((await attribute('size')) ?? 0) * sysfsSectorBytes;
  const contents = sizeBytes === 0 ? undefined : await readContents(host, path, logicalSectorSize);
  return {
    name,
    path,
    device: (await attribute('dev')) ?? '',
    sizeBytes,
    logicalSectorSize,
    isReadOnly: (await attribute('ro')) === '1',
    isRemovable: (await attribute('removable')) === '1',
    ...optional({ model, serial, wwid }),
    ...optional({
      table: contents?.table && pickTable(contents.table),
      tableProblem: contents?.tableProblem,
      bootCode: contents?.bootCode,
      fileSystem: contents?.fileSystem,
    }),
    holders: await host.list(`${directory}/holders`),
    partitions: await inspectPartitions(host, name, contents),
  };
}

interface DiskContents {
  readonly table?: PartitionTable;
  readonly tableProblem?: string;
  readonly bootCode?: string;
  readonly fileSystem?: FileSystemSignature;
  readonly partitionFileSystems: ReadonlyMap<number, FileSystemSignature>;
}

/** One opening of the disk serves its table and every signature; nothing is mounted. */
async function readContents(host: HostReader, path: string, sectorSize: number): Promise<DiskContents> {
  const partitionFileSystems = new Map<number, FileSystemSignature>();
  let reader: ByteReader;
  try {
    reader = await host.openRead(path);
  } catch (thrown) {
    return { tableProblem: messageOf(thrown), partitionFileSystems };
  }
  try {
    const bootCode = new Uint8Array(bootCodeBytes);
    await reader.read(bootCode, 0);
    const table = await readPartitionTable(reader, sectorSize);
    for (const partition of table?.partitions ?? []) {
      const signature = await readFileSystemSignature(reader, partition.startByte, partition.sizeBytes);
      if (signature !== undefined) partitionFileSystems.set(partition.number, signature);
    }
    const fileSystem = table === undefined ? await readFileSystemSignature(reader, 0, reader.sizeBytes) : undefined;
    return {
      bootCode: Buffer.from(bootCode).toString('base64'),
      partitionFileSystems,
      ...optional({ table, fileSystem }),
    };
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return { tableProblem: thrown.message, partitionFileSystems };
  } finally {
    await reader.close();
  }
}

/** The kernel's view decides which partitions exist; the table on the disk adds identities. */
async function inspectPartitions(
  host: HostReader,
  disk: string,
  contents: DiskContents | undefined,
): Promise<readonly DiskPartition[]> {
  const partitions: DiskPartition[] = [];
  for (const name of await host.list(`/sys/block/${disk}`)) {
    const directory = `/sys/block/${disk}/${name}`;
    const number = name.startsWith(disk) ? await trimmed(host, `${directory}/partition`) : undefined;
    if (number === undefined) continue;
    const entry = contents?.table?.partitions.find((candidate) => candidate.number === Number(number));
    partitions.push({
      name,
      path: `/dev/${name.replaceAll('!', '/')}`,
      device: (await trimmed(host, `${directory}/dev`)) ?? '',
      number: Number(number),
      startByte: Number((await trimmed(host, `${directory}/start`)) ?? 0) * sysfsSectorBytes,
      sizeBytes: Number((await trimmed(host, `${directory}/size`)) ?? 0) * sysfsSectorBytes,
      ...optional({
        uuid: entry?.uuid,
        type: entry?.type,
        label: entry?.name,
        fileSystem: contents?.partitionFileSystems.get(Number(number)),
      }),
      holders: await host.list(`${directory}/holders`),
    });
  }
  return partitions.sort((a, b) => a.number - b.number);
}

function pickTable(table: PartitionTable): NonNullable<Disk['table']> {
  return { kind: table.kind, id: table.id, ...optional({ backupAtEnd: table.backupAtEnd }) };
}

async function trimmed(host: HostReader, path: string): Promise<string | undefined> {
  try {
    const text = (await host.readText(path))?.trim();
    return text === '' ? undefined : text;
  } catch (thrown) {
    // Some drivers answer EIO or EINVAL for attributes their device lacks.
    if (thrown instanceof MigrateError) return undefined;
    throw thrown;
  }
}

/** Leaves out what is undefined, as exactOptionalPropertyTypes wants. */
function optional<T extends Record<string, unknown>>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
