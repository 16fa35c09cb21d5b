// What goes onto the payload's partition and where that comes to lie: behind the image with a lifeboat, else anywhere.
import {
  type Assets,
  bootOfLifeboat,
  type Config,
  type Device,
  type Facts,
  type Finding,
  isArchived,
  type LifeboatStaging,
  type LifeboatWay,
  layOutPayload,
  lifeboatVolumeBytes,
  type PayloadLayout,
  partitionGuidOf,
  type RuntimeAsset,
  serialOf,
  type TargetImage,
  volumeOverheadBytes,
} from '@migrate/core';
import type { WindowsDisk, WindowsVolumePartition } from '../facts/windows-facts.ts';
import type { BootParts } from './boot-parts.ts';
import { coreDisk } from './core-facts.ts';
import { findRoom, type Room } from './find-room.ts';
import { type PayloadBudget, payloadBudget } from './payload-budget.ts';
import { payloadFiles } from './payload-paths.ts';

/** Lifeboats begin at multiples of it. */
const regionAlignBytes = 1024 * 1024;

export type WindowsLifeboatStaging = LifeboatStaging & {
  readonly way: Extract<LifeboatWay, { readonly kind: 'gpt' }>;
};

export interface PlannedPayload {
  readonly staging: WindowsLifeboatStaging | { readonly kind: 'ram'; readonly why: string };
  readonly layout: PayloadLayout;
  readonly budget: PayloadBudget;
  /** Absent where Windows' disk is not known. */
  readonly room?: Room | Finding;
}

export interface PayloadPlanning {
  readonly config: Config;
  readonly facts: Facts;
  readonly assets: Assets;
  readonly image: TargetImage;
  /** All that the bundle has, and what of it stage 2 needs. */
  readonly runtime: { readonly all: RuntimeAsset; readonly needed: RuntimeAsset };
  readonly boot: BootParts;
  readonly device: Device;
  readonly own: WindowsPlace | undefined;
}

/** Where Windows lies. */
interface WindowsPlace {
  readonly disk: WindowsDisk;
  readonly partition: WindowsVolumePartition;
}

/** With a lifeboat wherever one can be had. */
export function planPayload(request: PayloadPlanning): PlannedPayload {
  const { own, runtime, boot } = request;
  const found = own === undefined ? 'the machine is not known' : withLifeboat(request, own);
  if (typeof found !== 'string') return found;
  const layout = layOut(request, { leavesOutImage: false });
  const budget = payloadBudget({ runtime: runtime.needed, layout, boot });
  const room = own === undefined ? {} : { room: findRoom(own, budget.sizeBytes) };
  return { staging: { kind: 'ram', why: found }, layout, budget, ...room };
}

/** Or why there can be none. */
function withLifeboat(request: PayloadPlanning, own: WindowsPlace): PlannedPayload | string {
  const { config, facts, image, runtime, boot, device } = request;
  if (config.migrate.staging === 'ram') return 'migrate.staging asks for RAM';
  if (isArchived(image)) return 'archives of partitions are unpacked from RAM';
  const disk = coreDisk(own.disk);
  const lifeboatOf = device.bootManagers.find(({ lifeboat }) => lifeboat !== undefined)?.lifeboat;
  if (lifeboatOf === undefined) return `no lifeboat is known for ${device.name}`;
  const start = bootOfLifeboat(lifeboatOf, { config, facts, image, runtime: runtime.all, disk });
  if (typeof start === 'string') return start;
  const { way } = start;
  if (way.kind !== 'gpt') return 'a lifeboat beside Windows needs a GPT';
  const volumeBytes = lifeboatVolumeBytes(facts, runtime.all);
  const sizeBytes = volumeBytes + regionAlignBytes;
  const { copied, written } = layOut(request, { leavesOutImage: false });
  const budget = payloadBudget({
    runtime: runtime.needed,
    layout: { copied, written },
    boot,
    lifeboat: { sizeBytes, sourceBytes: volumeBytes - volumeOverheadBytes },
  });
  const room = findRoom(own, budget.sizeBytes, image.sizeBytes);
  if (!isRoom(room)) return `no room for a lifeboat: ${room.message}`;
  return {
    staging: {
      kind: 'lifeboat',
      boot: start,
      way: { ...way, partitionGuid: partitionGuidOf(image, disk) },
      sizeBytes,
      fileSystemStartByte: room.offsetBytes,
      fromByte: image.sizeBytes,
      serial: serialOf(image, disk),
    },
    // The image is copied to the partition, and stage 2 reads it from where it lies.
    layout: { ...layOut(request, { leavesOutImage: true }), copied },
    budget,
    room,
  };
}

function layOut(
  { assets, image }: PayloadPlanning,
  { leavesOutImage }: { readonly leavesOutImage: boolean },
): PayloadLayout {
  return layOutPayload({
    assets,
    image,
    files: { inStage1: payloadFiles, inFileSystem: payloadFiles },
    // Linux, as it is in the bundle, reads no NTFS.
    inPlace: () => undefined,
    leavesOutImage,
  });
}

export function isRoom(room: Room | Finding | undefined): room is Room {
  return room !== undefined && 'offsetBytes' in room;
}
