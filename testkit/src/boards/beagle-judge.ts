// What a Beagle starts from a disk in any state that a power cut left of it in stage 2: its ROM, its first loader and its U-Boot, and
// whether what they start is whole. The ROM: AM335x TRM, 26.1.8.5; the first loader: U-Boot's common/spl/spl_mmc.c.
import { createHash } from 'node:crypto';
import { type ByteRange, type ByteReader, type LifeboatRecord, windowOf } from '@migrate/core';
import { openFat } from '@migrate/image-tools';
import { runUboot, type UbootAge } from './beagle-u-boot.ts';

const sectorBytes = 512;
const rawLoaderBytes = [0, 0x20000, 0x40000, 0x60000];
const rawUbootByte = 0x60000;
/** Legacy image and flattened device tree. */
const ubootMagics = [0x27051956, 0xd00dfeed];
const fatTypes = [0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e];
/** Of files whose contents U-Boot does not look at. */
const largestTextBytes = 64 * 1024;
const compareBytes = 1024 * 1024;
/** `board_sector` of init. */
const startsSector = 12;

/** How a first loader looks for U-Boot. */
export type FirstLoader =
  /** Before the partitions, and on partition 1 where it is not there. */
  | 'raw, then FAT'
  /** Where the ROM found the first loader itself. */
  | 'as the ROM'
  /** It stops, or runs what lies there, where it does not find it before the partitions. */
  | 'raw only';

export interface JudgedState {
  read(startByte: number, sizeBytes: number): Promise<Buffer>;
  isTouched(range: ByteRange): boolean;
}

/** A first loader and the U-Boot for it. */
export interface Loaders {
  readonly mlo: Buffer;
  readonly uboot: Buffer;
}

export interface JudgedMigration {
  readonly diskBytes: number;
  /** Sector 0 before, and as the image has it. */
  readonly oldSector: Buffer;
  readonly newSector: Buffer;
  readonly oldLoaders: Loaders;
  readonly newLoaders: Loaders;
  readonly lifeboat: LifeboatRecord;
  /** What is written of the image, and what the disk has there in the end. */
  readonly ranges: readonly ByteRange[];
  final(startByte: number, sizeBytes: number): Promise<Buffer>;
  readonly age: UbootAge;
  readonly deviceTree: string;
}

interface Found {
  readonly bytes: Buffer;
  readonly isRaw: boolean;
}

/** Returns "old", "lifeboat", "new", or "bricked: …" with the reason. `firstLoader`: the old one; the image's goes on to FAT. */
export function beagleJudge(
  migration: JudgedMigration,
  firstLoader: FirstLoader,
): (state: JudgedState) => Promise<string> {
  const { oldSector, newSector, oldLoaders, newLoaders, lifeboat } = migration;
  const oldDisk = (state: JudgedState): string => {
    const isHurt =
      state.isTouched({ startByte: sectorBytes, endByte: lifeboat.startByte }) ||
      state.isTouched({ startByte: lifeboat.startByte + lifeboat.sizeBytes, endByte: migration.diskBytes });
    return isHurt ? 'bricked: the old system is damaged' : 'old';
  };
  let boatOutcome: string | undefined;
  /** The same whenever it is whole. */
  const boat = async (state: JudgedState, sector: Buffer): Promise<string> => {
    const hurt = await damageOf(lifeboat, state);
    if (hurt !== undefined) return hurt;
    boatOutcome ??= await outcomeOfBoat(state, migration, sector);
    return boatOutcome;
  };
  return async (state) => {
    const sector = await state.read(0, sectorBytes);
    const mlo = await findFirstLoader(state, sector);
    if (mlo === undefined) return 'bricked: the ROM finds no first loader';
    const isNewTable = sector.equals(newSector);
    const isOld = beginsWith(mlo.bytes, oldLoaders.mlo) && !(isNewTable && !mlo.isRaw);
    if (!isOld && !beginsWith(mlo.bytes, newLoaders.mlo)) return 'bricked: the first loader is damaged';
    const uboot = await findUboot(state, { sector, kind: isOld ? firstLoader : 'raw, then FAT', isRaw: mlo.isRaw });
    if (uboot === undefined) return 'bricked: the first loader finds no U-Boot';
    if (beginsWith(uboot, newLoaders.uboot))
      return isNewTable ? newDisk(state, migration) : 'bricked: the new U-Boot starts without the new table';
    if (!beginsWith(uboot, oldLoaders.uboot)) return 'bricked: U-Boot is damaged';
    if (sector.equals(oldSector)) return oldDisk(state);
    if (isNewTable) return 'bricked: the old U-Boot starts on the new disk';
    if (firstPartition(sector).startByte !== lifeboat.startByte) return 'bricked: sector 0 is none of the three';
    return boat(state, sector);
  };
}

/** As far as it goes: what lies behind is not the loader's. */
function beginsWith(bytes: Buffer, wanted: Buffer): boolean {
  return bytes.subarray(0, wanted.length).equals(wanted);
}

const loaderBytes = 0x20000;
const largestUbootBytes = 8 * loaderBytes;

async function findFirstLoader(state: JudgedState, sector: Buffer): Promise<Found | undefined> {
  for (const startByte of rawLoaderBytes) {
    const head = await state.read(startByte, sectorBytes);
    if (head.toString('latin1', 0x14, 0x1e) === 'CHSETTINGS')
      return { bytes: await state.read(startByte, loaderBytes), isRaw: true };
  }
  const bytes = await readOnFirstPartition(state, sector, 'MLO');
  return bytes === undefined ? undefined : { bytes, isRaw: false };
}

async function findUboot(
  state: JudgedState,
  { sector, kind, isRaw }: { sector: Buffer; kind: FirstLoader; isRaw: boolean },
): Promise<Buffer | undefined> {
  const hasRaw = ubootMagics.includes((await state.read(rawUbootByte, sectorBytes)).readUInt32BE(0));
  if (kind === 'as the ROM' ? isRaw : hasRaw) return hasRaw ? state.read(rawUbootByte, largestUbootBytes) : undefined;
  return kind === 'raw only' ? undefined : readOnFirstPartition(state, sector, 'u-boot.img');
}

interface Partition {
  readonly isActive: boolean;
  readonly type: number;
  readonly startByte: number;
  readonly sizeBytes: number;
}

function firstPartition(sector: Buffer): Partition {
  const entry = sector.subarray(446, 462);
  return {
    isActive: entry[0] === 0x80,
    type: entry[4] ?? 0,
    startByte: entry.readUInt32LE(8) * sectorBytes,
    sizeBytes: entry.readUInt32LE(12) * sectorBytes,
  };
}

function readerOn(state: JudgedState, { startByte, sizeBytes }: Partition): ByteReader {
  const whole: ByteReader = {
    sizeBytes: startByte + sizeBytes,
    read: async (target, position) => {
      target.set(await state.read(position, target.length));
      return target.length;
    },
    close: async () => {},
  };
  return windowOf(whole, startByte, sizeBytes);
}

async function readOnFirstPartition(state: JudgedState, sector: Buffer, name: string): Promise<Buffer | undefined> {
  const partition = firstPartition(sector);
  if (!partition.isActive || !fatTypes.includes(partition.type)) return undefined;
  try {
    const fat = await openFat(readerOn(state, partition));
    return (await fat.find(`/${name}`)) === undefined ? undefined : Buffer.from(await fat.readFile(`/${name}`));
  } catch {
    // A file system that is not there, or not whole.
    return undefined;
  }
}

/** What of the lifeboat is not what stage 1 wrote. */
async function damageOf(
  { startByte: boatByte, pieces }: LifeboatRecord,
  state: JudgedState,
): Promise<string | undefined> {
  const startsByte = boatByte + startsSector * sectorBytes;
  for (const { path, startByte, sizeBytes, sha256 } of pieces) {
    if (!state.isTouched({ startByte, endByte: startByte + sizeBytes })) continue;
    const bytes = await state.read(startByte, sizeBytes);
    // Init counts its starts there.
    if (startByte <= startsByte && startsByte < startByte + sizeBytes)
      bytes.fill(0, startsByte - startByte, startsByte - startByte + sectorBytes);
    if (createHash('sha256').update(bytes).digest('hex') !== sha256)
      return `bricked: ${path ?? 'the file system'} of the lifeboat is damaged`;
  }
  return undefined;
}

/** The old U-Boot looks at a lifeboat that is whole. */
async function outcomeOfBoat(
  state: JudgedState,
  { age, deviceTree }: JudgedMigration,
  sector: Buffer,
): Promise<string> {
  const fat = await openFat(readerOn(state, firstPartition(sector)));
  const files = new Map<string, Uint8Array>();
  const collect = async (directory: string): Promise<void> => {
    for (const { text, kind, sizeBytes } of await fat.list(directory === '' ? '/' : directory)) {
      const path = `${directory}/${text}`;
      if (kind === 'directory') await collect(path);
      else files.set(path, sizeBytes > largestTextBytes ? Buffer.from(path) : await fat.readFile(path));
    }
  };
  await collect('');
  const media = new Map([[1, { partitions: new Map([[1, files]]), gap: await state.read(0, sectorBytes) }]]);
  const { outcome } = runUboot({ media }, { age, deviceTree });
  const isBoat =
    outcome.kind === 'starts' &&
    outcome.kernel === '1:/vmlinuz' &&
    outcome.deviceTree === '1:/board.dtb' &&
    outcome.initramfs?.startsWith('1:/initrd.img ') === true &&
    outcome.commandLine.split(' ').includes('migrate.lifeboat');
  return isBoat ? 'lifeboat' : `bricked: U-Boot ends with ${JSON.stringify(outcome)}`;
}

async function newDisk(state: JudgedState, { ranges, final }: JudgedMigration): Promise<string> {
  for (const { startByte, endByte } of ranges) {
    // What lies before the partitions was looked at.
    for (let position = startByte; position < endByte; position += compareBytes) {
      const length = Math.min(compareBytes, endByte - position);
      const [found, wanted] = [await state.read(position, length), await final(position, length)];
      if (!found.equals(wanted)) return `bricked: the new system differs near byte ${position}`;
    }
  }
  return 'new';
}
