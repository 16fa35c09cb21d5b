import { createHash } from 'node:crypto';
import {
  type ArchivesFacts,
  type AssetFile,
  type Emit,
  type FsImageSetting,
  type HostReader,
  type ImageFacts,
  type PartitionName,
  type PartitionTable,
  partitionNames,
} from '@migrate/core';
import { type DiskLayout, type DiskShape, layoutOf } from './disk-layout.ts';
import { inspectArchives } from './write-file-systems.ts';

export interface ArchivesProofRequest {
  readonly host: HostReader;
  readonly emit: Emit;
  /** Paths of the archives are absolute. */
  readonly setting: FsImageSetting;
  /** Of the disk that they will be written to. */
  readonly disk: DiskShape;
}

/**
 * Reads every archive to its end, and tells what the disk will be. Writes nothing and needs no programs. What identifies disk
 * and partitions, where it was not recorded, is derived from the archives: boot entries are made before partitions are. Throws
 * as layoutOf and inspectArchive do.
 */
export async function proveArchives({ host, emit, setting, disk }: ArchivesProofRequest): Promise<ArchivesFacts> {
  const configured = layoutOf(setting, disk);
  const inspected = await inspectArchives({ host, emit, setting }, configured);
  const archives = Object.fromEntries(
    partitionNames.map((name): [PartitionName, AssetFile & Pick<ImageFacts, 'compression'>] => {
      const { path, fileBytes, fileSha256, compression } = inspected[name];
      return [name, { path, sizeBytes: fileBytes, sha256: fileSha256, compression }];
    }),
  ) as ArchivesFacts['archives'];
  const identified = withIdentities(setting, configured, archives);
  const layout = layoutOf(identified, disk);
  const table = tableOf(layout);
  const { freeBytes } = inspected.data;
  const end = table.partitions.map(({ startByte, sizeBytes }) => startByte + sizeBytes);
  return {
    setting: identified,
    archives,
    sizeBytes: Math.max(...end),
    table,
    labels: Object.fromEntries(layout.partitions.map(({ label }, index) => [label, index])),
    deviceType: setting.deviceSlug,
    ...(freeBytes === undefined ? {} : { dataFreeBytes: freeBytes }),
  };
}

function withIdentities(
  setting: FsImageSetting,
  { table }: DiskLayout,
  archives: ArchivesFacts['archives'],
): FsImageSetting {
  const all = partitionNames.map((name) => archives[name].sha256).join(' ');
  const partitions = { ...setting.partitions };
  for (const name of partitionNames) {
    if (table === 'gpt') partitions[name] = { uuid: derivedUuid(`${all} ${name}`), ...setting.partitions[name] };
  }
  const diskId = setting.diskId ?? (table === 'gpt' ? derivedUuid(all) : derivedSignature(all));
  return { ...setting, diskId, partitions };
}

/** Version 8 of RFC 9562: what the rest means is its maker's business. */
function derivedUuid(from: string): string {
  const hex = createHash('sha256').update(from).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Never 0, which Linux takes for none. */
function derivedSignature(from: string): string {
  return `1${createHash('sha256').update(from).digest('hex').slice(1, 8)}`;
}

/** The table as it will be read from the disk. */
function tableOf({ table, diskId = '', partitions, sectorBytes }: DiskLayout): PartitionTable {
  return {
    kind: table,
    id: diskId,
    partitions: partitions.map(({ name, label, number, startSector, sectors, type, uuid }) => ({
      number,
      startByte: startSector * sectorBytes,
      sizeBytes: sectors * sectorBytes,
      type,
      uuid: uuid ?? `${diskId}-${String(number).padStart(2, '0')}`,
      ...(table === 'gpt' ? { name: label } : {}),
      bootable: table === 'mbr' && name === 'boot',
    })),
  };
}
