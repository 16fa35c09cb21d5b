// The part of balena-migrate.yml that says how to flash archives, as it is pasted into that file.
import type { ExpectedHash, FileSystemSetting, FsImageSetting, PartitionArchive } from '@migrate/core';
import { stringify } from 'yaml';

/**
 * `balena.image.fs` with the keys, order and numbers of the original balena-extract; then what a faithful restore needs
 * besides. Settings that are a matter of taste are left at their defaults (`~`).
 */
export function fsSnippet(setting: FsImageSetting): string {
  const { boot, rootA, rootB, state, data } = setting.partitions;
  const fs = {
    extended_blocks: setting.extendedBlocks ?? null,
    device_slug: setting.deviceSlug,
    check: null,
    max_data: null,
    mkfs_direct: null,
    boot: partitionForm(boot),
    root_a: partitionForm(rootA),
    root_b: partitionForm(rootB),
    state: partitionForm(state),
    data: partitionForm(data),
    ...(setting.table === undefined ? {} : { table: setting.table }),
    ...(setting.diskId === undefined ? {} : { disk_id: setting.diskId }),
  };
  return stringify({ balena: { image: { fs } } }, { nullStr: '~', lineWidth: 0 });
}

/** `balena.image.dd`: the whole image in one file. */
export function ddSnippet({
  path,
  hash,
  configPath,
}: {
  path: string;
  hash: ExpectedHash;
  configPath?: string;
}): string {
  const balena = {
    image: { dd: { path, hash: hashForm(hash) } },
    ...(configPath === undefined ? {} : { config: { path: configPath } }),
  };
  return stringify({ balena }, { lineWidth: 0 });
}

function partitionForm({ blocks, archive, startBlock, type, uuid, fileSystem }: PartitionArchive): object {
  return {
    blocks,
    archive: { path: archive.path, ...(archive.hash === undefined ? {} : { hash: hashForm(archive.hash) }) },
    ...(startBlock === undefined ? {} : { start_block: startBlock }),
    ...(type === undefined ? {} : { type }),
    ...(uuid === undefined ? {} : { uuid }),
    ...(fileSystem === undefined ? {} : { file_system: fileSystemForm(fileSystem) }),
  };
}

function hashForm({ algorithm, digest }: ExpectedHash): object {
  return { [algorithm]: digest };
}

function fileSystemForm({ type, label, uuid, blockBytes, inodes, inodeBytes, features }: FileSystemSetting): object {
  return {
    type,
    ...(label === undefined ? {} : { label }),
    ...(uuid === undefined ? {} : { uuid }),
    ...(blockBytes === undefined ? {} : { block_size: blockBytes }),
    ...(inodes === undefined ? {} : { inodes }),
    ...(inodeBytes === undefined ? {} : { inode_size: inodeBytes }),
    ...(features === undefined ? {} : { features }),
  };
}
