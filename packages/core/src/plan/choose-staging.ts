// Where the image lies while the disk is flashed: in a lifeboat on the disk itself, which boots at any moment, or in RAM.
import { createHash } from 'node:crypto';
import type { Assets, RuntimeAsset } from '../assets/assets.ts';
import { digestOf, filesOf, isArchived, type TargetImage } from '../assets/image.ts';
import type { Config } from '../config/config.ts';
import type { BootManager, LifeboatBoot, StartsAlways } from '../machine/device.ts';
import type { Disk, Facts } from '../machine/facts.ts';
import { initramfsBytes, spaceReserveBytes } from './budget.ts';
import { error, type PlacedPath } from './check-machine.ts';
import type { Finding } from './finding.ts';
import type { Grade, LifeboatWay, PowerWindow } from './plan.ts';
import { stage2CommandLine } from './stage2-command-line.ts';

const mebibyte = 1024 * 1024;
/** Where the bundle keeps the programs that reserve room for lifeboats, and for PCs boot loaders. */
export const lifeboatDirectory = 'runtime/lifeboat';
/** File systems that can be asked for room in one piece and for where it lies. */
const reservingFileSystems = new Set(['ext4', 'xfs']);
/** Tables and slack of its FAT, and what is small. */
export const volumeOverheadBytes = 40 * mebibyte;
/** Structure of an old file system behind the image, and the boot path's files: an estimate, stage 2 finds out. */
const structureBytes = 192 * mebibyte;
/** Left alone at the disk's end, where the backup GPT lies. */
const diskEndBytes = mebibyte;
/** What gzip makes of the runtime, with room: measured 0.40. */
const packedRatio = 0.5;

export interface LifeboatStaging {
  readonly kind: 'lifeboat';
  readonly boot: LifeboatBoot;
  readonly way: LifeboatWay;
  /** Most bytes that it takes. */
  readonly sizeBytes: number;
  readonly fileSystemStartByte: number;
  readonly fromByte: number;
  /** Serial number of its file system, as /dev/disk/by-uuid writes it. */
  readonly serial: string;
  /** Stage 2 makes it; absent: stage 1 does. */
  readonly late?: LateLifeboat;
}

/** A lifeboat over files of the old system, which must not start again from then on. */
export interface LateLifeboat {
  /** Why stage 1 does not make it. */
  readonly why: string;
  readonly startsAlways: StartsAlways;
  readonly fileSystemBytes: number;
  readonly toByte: number;
}

export type Staging = LifeboatStaging | { readonly kind: 'ram'; readonly why: string };

export interface StagingRequest {
  readonly config: Config;
  readonly facts: Facts;
  readonly assets: Assets;
  readonly image: TargetImage;
  readonly runtime: RuntimeAsset;
  readonly state: PlacedPath;
  readonly disk: Disk;
  readonly manager: BootManager;
}

/** Paths in a lifeboat. */
export const lifeboatPaths = {
  kernel: 'vmlinuz',
  initramfs: 'stage2.img',
  payload: 'payload.img',
} as const;

/** The lifeboat where it can be had, and else why not. */
export function chooseStaging(request: StagingRequest): Staging {
  const { config, image, state, disk, manager } = request;
  const ram = (why: string): Staging => ({ kind: 'ram', why });
  if (config.migrate.staging === 'ram') return ram('migrate.staging asks for RAM');
  if (isArchived(image)) return ram('archives of partitions are unpacked from RAM');
  if (manager.lifeboat === undefined) return ram(`no lifeboat is known for ${manager.kind}`);
  if (state.disk.path !== disk.path) return ram(`${state.path} does not lie on the disk that is flashed`);
  if (!reservingFileSystems.has(state.mount.fileSystem))
    return ram(`${state.mount.fileSystem} cannot reserve a piece of the disk behind the image`);
  const boot = bootOfLifeboat(manager.lifeboat, request);
  if (typeof boot === 'string') return ram(boot);
  const sizeBytes = lifeboatBytes(request, image.fileBytes) + (boot.filesBytes ?? 0);
  const toByte = Math.min(state.partition.startByte + state.partition.sizeBytes, disk.sizeBytes - diskEndBytes);
  const roomBytes = toByte - Math.max(image.sizeBytes, state.partition.startByte);
  if (roomBytes < sizeBytes) {
    return ram(
      `behind the ${mib(image.sizeBytes)} MiB of the image ${state.partition.path} has less than the ${mib(sizeBytes)} MiB of a lifeboat`,
    );
  }
  const why = whyLate(request, sizeBytes);
  const late = why === undefined ? undefined : lateLifeboat(request, { sizeBytes, roomBytes, toByte, why });
  if (typeof late === 'string') return ram(late);
  return {
    kind: 'lifeboat',
    boot,
    way: boot.way.kind === 'gpt' ? { ...boot.way, partitionGuid: partitionGuidOf(image, disk) } : boot.way,
    sizeBytes,
    fileSystemStartByte: state.partition.startByte,
    fromByte: image.sizeBytes,
    serial: serialOf(image, disk),
    ...(late === undefined ? {} : { late }),
  };
}

/** Why stage 1 cannot make it or is not to; undefined where it makes it. */
function whyLate({ config, facts, assets, runtime, state }: StagingRequest, sizeBytes: number): string | undefined {
  if (config.migrate.staging === 'late-lifeboat') return 'migrate.staging asks for it';
  // All that it is made from lies beside it.
  const besideBytes = totalOf(runtime) + initramfsBytes(facts, runtime) + (assets.backup?.archiveBytes ?? 0);
  const neededBytes = sizeBytes + besideBytes + spaceReserveBytes;
  if (state.availableBytes >= neededBytes) return undefined;
  return `${state.partition.path} has less than ${mib(neededBytes)} MiB free for a lifeboat and what it is made from`;
}

function lateLifeboat(
  { facts, assets, image, runtime, state, manager }: StagingRequest,
  { sizeBytes, roomBytes, toByte, why }: { sizeBytes: number; roomBytes: number; toByte: number; why: string },
): LateLifeboat | string {
  const not = (reason: string): string => `${why}, and stage 2 cannot make one: ${reason}`;
  if (state.mount.fileSystem !== 'ext4')
    return not(`${state.mount.fileSystem} does not tell it which blocks nobody needs`);
  if (manager.startsAlways === undefined)
    return not(`no way is known by which ${manager.kind} starts stage 2 every time`);
  const startsAlways = manager.startsAlways({ entryId: entryIdOf(image), fileSystemUuid: state.uuid }, facts);
  if (typeof startsAlways === 'string') return not(startsAlways);
  const imageBytes = filesOf(image).reduce((sum, file) => sum + file.sizeBytes, 0);
  // At worst all that has to stay lies there too.
  const stayBytes = imageBytes + (assets.backup?.archiveBytes ?? 0) + 2 * totalOf(runtime) + structureBytes;
  if (roomBytes < sizeBytes + stayBytes) {
    return not(
      `behind the ${mib(image.sizeBytes)} MiB of the image ${state.partition.path} has less than the ${mib(sizeBytes + stayBytes)} MiB of a lifeboat and of all that must stay`,
    );
  }
  return { why, startsAlways, fileSystemBytes: state.partition.sizeBytes, toByte };
}

/** Of the entry by which the old boot manager starts stage 2: named by the image, so that an earlier migration's is never taken for it. */
export function entryIdOf(image: TargetImage): string {
  return `balena-migrate-${digestOf(image).slice(0, 12)}`;
}

/** How the firmware would be made to start a lifeboat on that disk, or why it cannot be. */
export function bootOfLifeboat(
  lifeboatOf: NonNullable<BootManager['lifeboat']>,
  { config, facts, image, runtime, disk }: Omit<StagingRequest, 'assets' | 'state' | 'manager'>,
): LifeboatBoot | string {
  if (disk.logicalSectorSize !== 512) return `the disk has sectors of ${disk.logicalSectorSize} bytes`;
  if (!runtime.files.some(({ path }) => path.startsWith(`${lifeboatDirectory}/`)))
    return 'the bundle has no boot loader for a lifeboat';
  return lifeboatOf(
    {
      kernelPath: `/${lifeboatPaths.kernel}`,
      initramfsPaths: [`/${lifeboatPaths.initramfs}`, `/${lifeboatPaths.payload}`],
      commandLine: [
        ...stage2CommandLine(facts.kernel.commandLine, config.migrate.kernelOptions),
        // Init tells by it what started it.
        'migrate.lifeboat',
      ],
      loaderDirectory: `${runtime.directory}/${lifeboatDirectory}`,
    },
    { facts, disk, image },
  );
}

/** Whether the grade is what the operator demands. */
export function checkGrade({ migrate }: Config, staging: Staging): readonly Finding[] {
  const grade = gradeOf(staging);
  // The letters are in their order.
  const isTooLow = migrate.requireGrade !== undefined && grade > migrate.requireGrade;
  const asksForLifeboat = migrate.staging === 'lifeboat' || migrate.staging === 'late-lifeboat';
  const isWithout = asksForLifeboat && staging.kind === 'ram';
  if (!isTooLow && !isWithout) return [];
  const window = powerWindowOf(staging);
  return [
    error(
      'grade-too-low',
      isWithout ? 'migrate.staging' : 'migrate.require_grade',
      `a power cut while ${window === undefined ? 'the disk is flashed' : windowText(window)} ${window === undefined ? 'would' : 'may'} leave the machine unbootable (grade ${grade}): ${gradeReasonOf(staging) ?? ''}`,
      staging.kind === 'ram'
        ? 'Remove what stands against a lifeboat, or allow the risk by removing the setting'
        : 'Allow the risk by another setting',
    ),
  ];
}

export function gradeOf(staging: Staging): Grade {
  if (staging.kind === 'ram') return 'C';
  return powerWindowOf(staging) === undefined ? 'A' : 'B';
}

/** Why it is no better than it is; undefined for A. */
export function gradeReasonOf(staging: Staging): string | undefined {
  return staging.kind === 'ram' ? staging.why : staging.boot.window?.why;
}

/** The window of grade B. */
export function powerWindowOf(staging: Staging): Pick<PowerWindow, 'bytes' | 'seconds'> | undefined {
  if (staging.kind === 'ram' || staging.boot.window === undefined) return undefined;
  const { bytes, seconds } = staging.boot.window;
  return { bytes, seconds };
}

/** "1024 bytes are written (about 2 s)". */
export function windowText({ bytes, seconds }: Pick<PowerWindow, 'bytes' | 'seconds'>): string {
  return `${bytes} bytes are written (about ${seconds} s)`;
}

/** GUID of the partition that a lifeboat of this image on this disk is. */
export function partitionGuidOf(image: TargetImage, disk: Disk): string {
  const hex = identityOf(image, disk);
  // Version 8 of RFC 9562: bits of our own choice.
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** Serial number of its file system. */
export function serialOf(image: TargetImage, disk: Disk): string {
  const hex = identityOf(image, disk).toUpperCase();
  return `${hex.slice(32, 36)}-${hex.slice(36, 40)}`;
}

function identityOf(image: TargetImage, disk: Disk): string {
  return createHash('sha256')
    .update(`lifeboat ${digestOf(image)} ${disk.table?.id ?? ''} ${disk.serial ?? ''} ${disk.sizeBytes}`)
    .digest('hex');
}

function lifeboatBytes({ facts, assets, runtime }: StagingRequest, imageFileBytes: number): number {
  return imageFileBytes + (assets.backup?.archiveBytes ?? 0) + lifeboatVolumeBytes(facts, runtime);
}

/** Most bytes that the volume of a lifeboat takes; `volumeOverheadBytes` of them are not for its large files. */
export function lifeboatVolumeBytes(facts: Facts, runtime: RuntimeAsset): number {
  return (
    (facts.kernel.image?.sizeBytes ?? 0) + initramfsBytes(facts, runtime) + packedBytes(runtime) + volumeOverheadBytes
  );
}

/** What packing the runtime for a lifeboat takes, in bytes. */
export function packedBytes(runtime: RuntimeAsset): number {
  return Math.ceil(totalOf(runtime) * packedRatio);
}

function totalOf(runtime: RuntimeAsset): number {
  return runtime.files.reduce((sum, file) => sum + file.sizeBytes, 0);
}

function mib(bytes: number): number {
  return Math.ceil(bytes / mebibyte);
}
