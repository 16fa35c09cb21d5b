// A board of fixtures/machines as a machine in memory: its partitions, the sectors before them, and what sysfs says of its disk.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMemoryHost, type Disk, type Facts, type MemoryHost, mountOf } from '@migrate/core';
import type { UbootAge } from './beagle-u-boot.ts';
import type { BeagleState } from './u-boot-commands.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');

export const beagleNames: readonly string[] = readdirSync(machines).filter((name) => name.startsWith('beagle'));

/** Its disk is made so small that it fits into memory; all before partition 1 is as it was. */
export function beagleFacts(name: string): Facts {
  const facts = JSON.parse(readFileSync(join(machines, name, 'facts.json'), 'utf8')) as Facts;
  return { ...facts, disks: facts.disks.map(shrunk) };
}

const partitionBytes = 512 * 1024;

function shrunk(disk: Disk): Disk {
  const gapBytes = gapBytesOf(disk);
  const partitions = disk.partitions.map((partition) => ({
    ...partition,
    startByte: gapBytes + (partition.number - 1) * partitionBytes,
    sizeBytes: partitionBytes,
  }));
  return { ...disk, partitions, sizeBytes: gapBytes + partitions.length * partitionBytes };
}

function gapBytesOf(disk: Disk): number {
  return Math.min(...disk.partitions.map(({ startByte }) => startByte));
}

/** The U-Boot that came with these images. */
export function ubootAgeOf(facts: Facts): UbootAge {
  if (facts.bootFiles.some(({ text }) => text.includes('uenvcmd='))) return '2013';
  return Number(facts.os.versionId.split('.')[0]) >= 10 && facts.os.id === 'debian' ? '2019' : '2016';
}

export interface BeagleMachine {
  readonly host: MemoryHost;
  state(): BeagleState;
  /** Takes over what U-Boot wrote. */
  restart(state: BeagleState): void;
}

/** `onChange` is called before each change of the machine. */
export function beagleMachine(facts: Facts, onChange: (machine: BeagleMachine) => void = () => {}): BeagleMachine {
  const [disk] = facts.disks;
  if (disk === undefined) throw new Error('there is no disk');
  const files: Record<string, string | Uint8Array> = { '/var/lib/README': '', ...sysfsOf(disk) };
  for (const { path, kind } of facts.bootListing ?? []) if (kind === 'file') files[path] = `contents of ${path}`;
  for (const { path, text } of facts.bootFiles) files[path] = text;
  if (facts.kernel.image !== undefined) files[facts.kernel.image.path] = 'the running kernel';
  // Named by extlinux.conf, whose own lines say where.
  for (const { path, text } of facts.bootFiles)
    if (path.endsWith('/extlinux.conf')) files[/^\s*initrd (.*)$/m.exec(text)?.[1] ?? ''] = 'the old initramfs';
  // Its old environment starts an initramfs that lies beside the kernel.
  if (files['/boot/uboot/zImage'] !== undefined) files['/boot/uboot/initrd.img'] = 'the old initramfs';
  for (const { fileSystem, target } of facts.mounts) if (fileSystem === 'vfat') files[`${target}/MLO`] = 'first loader';
  files[disk.path] = contentsOfDisk(facts, disk);
  const host = createMemoryHost({ files, onChange: () => onChange(machine) });
  const contentsOf = (path: string): Uint8Array => {
    const node = host.nodes.get(path);
    return node?.kind === 'file' ? node.contents : new Uint8Array();
  };
  const machine: BeagleMachine = {
    host,
    state: () => {
      const partitions = new Map<number, Map<string, Uint8Array>>();
      for (const path of host.nodes.keys()) {
        const mount = mountOf(facts.mounts, path);
        const partition = disk.partitions.find(({ path: source }) => source === mount?.source);
        if (mount === undefined || partition === undefined || /^\/(sys|proc|dev)\//.test(path)) continue;
        if (host.nodes.get(path)?.kind !== 'file') continue;
        const inside = partitions.get(partition.number) ?? new Map<string, Uint8Array>();
        inside.set(mount.target === '/' ? path : path.slice(mount.target.length), new Uint8Array(contentsOf(path)));
        partitions.set(partition.number, inside);
      }
      const number = facts.bootFiles.some(({ path, text }) => path.endsWith('/type') && text.startsWith('MMC')) ? 1 : 0;
      return {
        media: new Map([
          [number, { partitions, gap: new Uint8Array(contentsOf(disk.path).subarray(0, gapBytesOf(disk))) }],
        ]),
      };
    },
    restart: ({ media }) => {
      for (const { gap, partitions } of media.values()) {
        contentsOf(disk.path).set(gap);
        for (const mount of facts.mounts) {
          const partition = disk.partitions.find(({ path }) => path === mount.source);
          for (const [path, bytes] of partitions.get(partition?.number ?? 0) ?? []) {
            const target = `${mount.target === '/' ? '' : mount.target}${path}`;
            if (contentsOf(target).length === bytes.length) contentsOf(target).set(bytes);
          }
        }
      }
    },
  };
  return machine;
}

/** What inspectDisks reads, so that the disk is found again by its identity. */
function sysfsOf(disk: Disk): Record<string, string> {
  const directory = `/sys/block/${disk.name}`;
  return {
    [`${directory}/dev`]: `${disk.device}\n`,
    [`${directory}/size`]: `${disk.sizeBytes / 512}\n`,
    [`${directory}/queue/logical_block_size`]: `${disk.logicalSectorSize}\n`,
    [`${directory}/device/serial`]: `${disk.serial}\n`,
    [`${directory}/device/cid`]: `${disk.wwid}\n`,
  };
}

/** Everything before partition 1, with a partition table that has the disk's identity. */
function contentsOfDisk(facts: Facts, disk: Disk): Uint8Array {
  const gap = Buffer.alloc(disk.sizeBytes);
  for (const { path, startByte, contents } of facts.bootAreas ?? [])
    if (path === disk.path && contents !== undefined) gap.set(Buffer.from(contents, 'base64'), startByte);
  gap.writeUInt32LE(Number.parseInt(disk.table?.id ?? '0', 16), 440);
  for (const { number, startByte, sizeBytes, type } of disk.partitions) {
    const entry = 446 + (number - 1) * 16;
    gap[entry + 4] = Number.parseInt(type ?? '83', 16);
    gap.writeUInt32LE(startByte / 512, entry + 8);
    gap.writeUInt32LE(sizeBytes / 512, entry + 12);
  }
  gap.writeUInt16LE(0xaa55, 510);
  return gap;
}
