// The arithmetic of memory and disk space that a plan rests on; shown to the operator item by item.

import type { RuntimeAsset } from '../assets/assets.ts';
import { isArchived, type TargetImage } from '../assets/image.ts';
import type { BackupSurvey } from '../backup/survey-backup.ts';
import type { Disk, Facts, Place } from '../machine/facts.ts';
import { error } from './check-machine.ts';
import type { Finding } from './finding.ts';
import type { Budget, BudgetItem, CopiedFile, PayloadFile, SpaceBudget } from './plan.ts';

const mebibyte = 1024 * 1024;

/** Measured peak of stage 2's own process, with room: see docs/guarantees.md. */
const stage2ProcessBytes = 128 * mebibyte;
/** Its window of up to 32 MiB (Host.unzstd) and the program itself. */
const zstdProcessBytes = 40 * mebibyte;
/** mke2fs and e2fsck hold the bitmaps of a disk of some 100 GiB; mkfs.vfat rehearses in RAM. */
const writerProcessBytes = 64 * mebibyte;
/** What the kernel takes of MemTotal for its own structures, page tables and drivers while stage 2 runs. */
const kernelReserveBytes = 40 * mebibyte;
/** Left free on the file systems that stage 1 writes to, so that the old system goes on working. */
export const spaceReserveBytes = 50 * mebibyte;
/** The same on a boot partition of its own, which is small and where little is written. */
const bootReserveBytes = 2 * mebibyte;

/** RAM in stage 2: nothing is swapped there, and the image lies in RAM while the disk is flashed. */
export function memoryBudget({
  facts,
  image,
  runtime,
  payload,
  backupBytes,
  staging,
}: {
  facts: Facts;
  image: TargetImage;
  runtime: RuntimeAsset;
  payload: readonly PayloadFile[];
  staging: 'ram' | 'lifeboat';
  /** Most bytes of the backup; 0 without one. */
  backupBytes: number;
}): { readonly budget: Budget; readonly findings: readonly Finding[] } {
  const needed: BudgetItem[] = [
    { what: 'kernel reserve', bytes: kernelReserveBytes },
    { what: 'initramfs with kernel modules', bytes: initramfsBytes(facts, runtime) },
    { what: 'runtime', bytes: sum(runtime.files.map((file) => file.sizeBytes)) },
    {
      what: staging === 'ram' ? 'image and configuration' : 'configuration',
      bytes: sum(payload.map((file) => file.sizeBytes)),
    },
    ...(staging === 'ram' ? backupItem(backupBytes) : []),
    { what: 'stage 2 at work', bytes: stage2ProcessBytes },
    ...(isArchived(image) ? [{ what: 'programs that make file systems', bytes: writerProcessBytes }] : []),
    ...(isZstd(image) ? [{ what: 'zstd at work', bytes: zstdProcessBytes }] : []),
  ];
  const budget = { needed, availableBytes: facts.memory.totalBytes };
  return {
    budget,
    findings: shortage(budget).map((bytes) =>
      error(
        'memory-too-small',
        'memory',
        `stage 2 needs ${inMebibytes(totalOf(budget))} MiB of RAM, the machine has ${inMebibytes(budget.availableBytes)} MiB: ${inMebibytes(bytes)} MiB too little`,
        staging === 'lifeboat'
          ? 'Give the machine more memory'
          : backupBytes === 0
            ? 'Use a smaller image'
            : 'Back up less, or use a smaller image',
      ),
    ),
  };
}

function isZstd(image: TargetImage): boolean {
  const files = isArchived(image) ? Object.values(image.archives) : [image];
  return files.some(({ compression }) => compression === 'zstd');
}

/** Disk space that stage 1 takes, by file system: in its state directory, and for the initramfs in the boot manager's directory. */
export function spaceBudgets({
  facts,
  runtime,
  copied,
  state,
  boot,
  backupBytes,
  lifeboatBytes,
  packedBytes,
}: {
  facts: Facts;
  runtime: RuntimeAsset;
  copied: readonly CopiedFile[];
  state: Place;
  boot: Place;
  backupBytes: number;
  /** 0 without one, or where stage 2 makes it. */
  lifeboatBytes: number;
  /** Most bytes of what stage 2 makes one of, beside the image; 0 where it makes none. */
  packedBytes: number;
}): { readonly budgets: readonly SpaceBudget[]; readonly findings: readonly Finding[] } {
  const initramfs: BudgetItem = { what: 'initramfs (at most)', bytes: initramfsBytes(facts, runtime) };
  const isOne = state.mountTarget === boot.mountTarget;
  const stateBudget: SpaceBudget = {
    path: state.path,
    needed: [
      { what: 'runtime', bytes: sum(runtime.files.map((file) => file.sizeBytes)) },
      { what: 'files copied for stage 2', bytes: sum(copied.map((file) => file.sizeBytes)) },
      ...backupItem(backupBytes),
      ...(lifeboatBytes === 0 ? [] : [{ what: 'lifeboat (at most)', bytes: lifeboatBytes }]),
      ...(packedBytes === 0 ? [] : [{ what: 'stage 2 packed for a lifeboat (at most)', bytes: packedBytes }]),
      ...(isOne ? [initramfs] : []),
      { what: 'left free for the running system', bytes: spaceReserveBytes },
    ],
    availableBytes: state.availableBytes,
  };
  const bootBudget: SpaceBudget = {
    path: boot.path,
    needed: [initramfs, { what: 'left free for the running system', bytes: bootReserveBytes }],
    availableBytes: boot.availableBytes,
  };
  const budgets = isOne ? [stateBudget] : [stateBudget, bootBudget];
  return { budgets, findings: budgets.flatMap(tooLittleSpace) };
}

/** Left free on resin-data as it is flashed: the log of stage 2, and what ext4 needs beside a file for its extents. */
const dataReserveBytes = 4 * mebibyte;
/** Of resin-data once it has grown: metadata of a larger ext4, and the first application's own needs are not counted. */
const grownReserveBytes = 64 * mebibyte;

/**
 * Room for the backup on resin-data. It grows to the end of the disk only when the new system has started, so the archive must
 * fit as the image is; the supervisor unpacks it beside itself before it removes it.
 */
export function dataBudgets(
  { archiveBytes, unpackedBytes }: BackupSurvey,
  { image, disk }: { image: TargetImage; disk: Disk | undefined },
): { readonly budgets: readonly SpaceBudget[]; readonly findings: readonly Finding[] } {
  const { dataFreeBytes } = image;
  if (dataFreeBytes === undefined) {
    const message = 'it is not known how much room resin-data has for the backup';
    const hint = 'Use an image whose resin-data is a sound ext4, or remove migrate.backup';
    return {
      budgets: [],
      findings: [error('backup-room-unknown', isArchived(image) ? 'balena.image.fs' : image.path, message, hint)],
    };
  }
  const data = image.table.partitions[image.labels['resin-data'] ?? -1];
  const asFlashed: SpaceBudget = {
    path: 'resin-data as it is flashed',
    needed: [...backupItem(archiveBytes), { what: 'left free', bytes: dataReserveBytes }],
    availableBytes: dataFreeBytes,
  };
  const grown: SpaceBudget = {
    path: 'resin-data once it has grown',
    needed: [
      ...backupItem(archiveBytes),
      { what: 'backup, unpacked', bytes: unpackedBytes },
      { what: 'left free', bytes: grownReserveBytes },
    ],
    availableBytes: Math.max(
      0,
      (disk?.sizeBytes ?? 0) - (data?.startByte ?? 0) - (data?.sizeBytes ?? 0) + dataFreeBytes,
    ),
  };
  const budgets = disk === undefined ? [asFlashed] : [asFlashed, grown];
  return {
    budgets,
    findings: budgets.flatMap((budget) =>
      shortage(budget).map((bytes) =>
        error(
          'backup-too-large',
          'migrate.backup',
          `the backup needs ${inMebibytes(totalOf(budget))} MiB on ${budget.path}, ${inMebibytes(budget.availableBytes)} MiB are free: ${inMebibytes(bytes)} MiB too little`,
          'Back up less, with filter or other sources, or move the rest by other means',
        ),
      ),
    ),
  };
}

function backupItem(bytes: number): BudgetItem[] {
  return bytes === 0 ? [] : [{ what: 'backup (at most)', bytes }];
}

function tooLittleSpace(budget: SpaceBudget): Finding[] {
  return shortage(budget).map((bytes) =>
    error(
      'space-too-small',
      budget.path,
      `stage 1 needs ${inMebibytes(totalOf(budget))} MiB there, ${inMebibytes(budget.availableBytes)} MiB are free: ${inMebibytes(bytes)} MiB too little`,
      'Free some space',
    ),
  );
}

export function totalOf(budget: Budget): number {
  return sum(budget.needed.map((item) => item.bytes));
}

function shortage(budget: Budget): number[] {
  const missing = totalOf(budget) - budget.availableBytes;
  return missing > 0 ? [missing] : [];
}

export function initramfsBytes(facts: Facts, runtime: RuntimeAsset): number {
  const busybox = runtime.files.find((file) => file.path === 'runtime/busybox')?.sizeBytes ?? 0;
  return busybox + sum(facts.modules.needed.map((module) => module.sizeBytes));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function inMebibytes(bytes: number): number {
  return Math.ceil(bytes / mebibyte);
}
