// A lifeboat that a Beagle's own loaders start: its volume is partition 1, with copies of them and a uEnv.txt or boot.scr of its own.
// A table in sector 0 switches to it, but not where loaders lie before the partitions: those start U-Boot whatever the table says. It
// then finds the lifeboat as it found the old system; but before the new system starts they must be gone.
import {
  type Disk,
  type Facts,
  isArchived,
  type LifeboatBoot,
  type LifeboatFile,
  type LifeboatPayload,
  type LoaderSectors,
  type PowerWindow,
  type TargetImage,
} from '@migrate/core';
import {
  activePartitions,
  areaAt,
  areaBytes,
  boardOf,
  bootMediumOf,
  type FirstPartition,
  isFirstLoader,
  listed,
  loaderHeaderPlace,
  loaderPlace,
  rawLoaderBytes,
  rawLoaderSizeBytes,
  rawUbootByte,
  runningPath,
  ubootPlace,
} from './boot-medium.ts';
import {
  type BootScript,
  directoryName,
  lifeboatEnvironment,
  lifeboatScript,
  scriptName,
  startScript,
} from './boot-script.ts';
import { type BootDecision, decideBoot, isRefusal } from './boot-way.ts';
import { startScriptPath } from './script-way.ts';
import { firstEnvironment, flowOf } from './stock-flow.ts';
import { readUbootImage } from './u-boot-image.ts';

/** On a FAT partition 1, where the first loader finds both. */
export const loaderNames = ['/MLO', '/u-boot.img'] as const;
const [firstLoaderName, ubootName] = ['MLO', 'u-boot.img'];
const deviceTreeName = 'board.dtb';
const initramfsName = 'initrd.img';
const sectorBytes = 512;
/** The table of contents and the header before a first loader's code. */
const loaderHeadBytes = sectorBytes + 8;

/** Or why it cannot be had. */
export function beagleLifeboat(
  payload: LifeboatPayload,
  { facts, disk, image }: { readonly facts: Facts; readonly disk: Disk; readonly image: TargetImage },
): LifeboatBoot | string {
  const [board, medium] = [boardOf(facts), bootMediumOf(facts)];
  const decision = board === undefined || medium === undefined ? [] : decideBoot(facts, board, medium);
  if (isRefusal(decision) || decision.medium.disk.path !== disk.path) return 'U-Boot does not start from that disk';
  if (disk.table?.kind !== 'mbr' || image.table.kind !== 'mbr')
    return 'the ROM takes a partition with a first loader from an MBR, which both the disk and the image need';
  const found = findLoaders(facts, disk, decision.first);
  if (typeof found === 'string') return found;
  const endByte = Math.min(...image.table.partitions.map(({ startByte }) => startByte));
  if (endByte < found.endByte) return `the partitions of the image begin before the U-Boot of the disk ends`;
  const files = bootFiles(payload, facts, decision);
  if (typeof files === 'string') return files;
  return {
    way: { kind: 'partition', diskId: disk.table.id },
    firstFiles: found.files,
    files,
    initramfs: initramfsName,
    ...exchangeOf(found, { endByte, hasEmptyGap: !isArchived(image) && image.hasEmptyGap === true }),
  };
}

interface OldLoaders {
  /** Copies of both. */
  readonly files: readonly LifeboatFile[];
  /** First sectors of first loaders before partition 1, and of U-Boot, in bytes of the disk. */
  readonly raw: readonly number[];
  readonly rawUboot?: number;
  /** Where the last of them ends, in bytes of the disk. */
  readonly endByte: number;
}

/** The loaders that start the old system, or why they are not known. */
function findLoaders(facts: Facts, disk: Disk, first: FirstPartition): OldLoaders | string {
  const sectors = rawLoaderBytes.map((startByte) => ({ startByte, area: areaAt(facts, loaderPlace(disk, startByte)) }));
  const uboot = areaAt(facts, ubootPlace(disk));
  const [table] = sectors;
  if (uboot === undefined || table?.area === undefined || sectors.some(({ area }) => area === undefined))
    return 'what lies before partition 1 could not be read';
  const raw = sectors.flatMap(({ startByte, area }) =>
    area !== undefined && isFirstLoader(areaBytes(area)) ? [startByte] : [],
  );
  if (raw[0] === table.startByte) return 'the first loader begins in the sector of the partition table';
  const image = uboot.contents === undefined ? undefined : readUbootImage(areaBytes(uboot));
  const rawUboot = image === undefined ? {} : { rawUboot: rawUbootByte };
  const endByte = Math.max(
    0,
    ...raw.map((startByte) => startByte + rawLoaderSizeBytes),
    image === undefined ? 0 : rawUbootByte + image.sizeBytes,
  );
  if (raw[0] === undefined) {
    const isActive = activePartitions(areaBytes(table.area))[0] === 1;
    const { mount } = first;
    if (mount.fileSystem !== 'vfat' || !isActive) return 'the first loader lies neither before partition 1 nor on it';
    if (loaderNames.some((name) => listed(facts, `${mount.target}${name}`)?.kind !== 'file'))
      return `${mount.target} has not both of ${loaderNames.join(' and ')}`;
    const files = loaderNames.map((name) => ({ path: name.slice(1), from: `${mount.target}${name}` }));
    return { files, raw, ...rawUboot, endByte };
  }
  if (image === undefined) return 'U-Boot does not lie where the first loader is known to take it from';
  const header = areaAt(facts, loaderHeaderPlace(disk, raw[0]));
  const codeBytes = header === undefined ? 0 : Buffer.from(areaBytes(header)).readUInt32LE(0);
  const sizeBytes = loaderHeadBytes + codeBytes;
  if (codeBytes === 0 || sizeBytes > rawLoaderSizeBytes) return 'the first loader does not say how large it is';
  const files: readonly LifeboatFile[] = [
    { path: firstLoaderName, area: { path: disk.path, startByte: raw[0], sizeBytes } },
    { path: ubootName, area: { path: disk.path, startByte: rawUbootByte, sizeBytes: image.sizeBytes } },
  ];
  return { files, raw, ...rawUboot, endByte };
}

/** What U-Boot starts, and what tells it so; or why it cannot. */
function bootFiles(
  payload: LifeboatPayload,
  facts: Facts,
  { medium, variables, deviceTree }: BootDecision,
): readonly LifeboatFile[] | string {
  const tree = runningPath(facts, medium.disk, deviceTree);
  if (tree === undefined) return 'the device tree is not to be seen on the running system';
  const inVolume = (path: string): BootScript['kernel'] => ({ partition: 1, path });
  const script = {
    medium: variables,
    kernel: inVolume(payload.kernelPath),
    deviceTree: inVolume(`/${deviceTreeName}`),
    initramfs: inVolume(`/${initramfsName}`),
    commandLine: payload.commandLine,
  };
  const start: readonly LifeboatFile[] =
    flowOf(facts, medium.disk).kind === 'extlinux'
      ? [
          { path: `${directoryName}/${scriptName}`, text: lifeboatScript(script) },
          {
            path: startScriptPath.slice(1),
            text: Buffer.from(startScript(`/${directoryName}/${scriptName}`)).toString('base64'),
            encoding: 'base64',
          },
        ]
      : [{ path: firstEnvironment.slice(1), text: lifeboatEnvironment(script) }];
  return [{ path: deviceTreeName, from: tree }, ...start];
}

/** A slow card or eMMC; each sector is written alone. */
const bytesPerSecond = 1024 * 1024;
const sectorSeconds = 0.2;

/**
 * How the old loaders give way to the image. The ROM takes a first loader on partition 1 where there is none before it (AM335x TRM,
 * 26.1.8.5), so that clearing those leaves the lifeboat. It is different with U-Boot: a first loader looks for that before the
 * partitions too, and not each one goes on to partition 1 then (U-Boot's common/spl/spl_mmc.c since 2015.10; before, by its build).
 */
function exchangeOf(
  { raw, rawUboot }: OldLoaders,
  { endByte, hasEmptyGap }: { readonly endByte: number; readonly hasEmptyGap: boolean },
): { readonly loaders?: LoaderSectors; readonly window?: PowerWindow } {
  if (hasEmptyGap && raw.length === 0 && rawUboot === undefined) return {};
  const cleared = [...raw, ...(rawUboot === undefined ? [] : [rawUboot])];
  if (hasEmptyGap) {
    const written = rawUboot === undefined ? 0 : 2 * sectorBytes;
    const why = 'not every first loader takes U-Boot from partition 1 where there is none before it';
    return { loaders: { endByte, cleared, last: [0] }, ...windowOf(written, why) };
  }
  // The ROM's places come last, and of those the one that it looks at first.
  const last = [rawUbootByte, 0, ...rawLoaderBytes.filter((startByte) => startByte > 0).reverse()];
  const why = 'the image may have loaders before its partitions, and they cannot be exchanged at once';
  return { loaders: { endByte, cleared, last: last.filter((byte) => byte < endByte) }, ...windowOf(endByte, why) };
}

function windowOf(bytes: number, why: string): { readonly window?: PowerWindow } {
  if (bytes === 0) return {};
  const seconds = Math.ceil(bytes / bytesPerSecond + (2 + rawLoaderBytes.length) * sectorSeconds);
  return { window: { bytes, seconds, why } };
}
