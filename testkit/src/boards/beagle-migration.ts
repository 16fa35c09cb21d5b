// Stage 2 of a board of fixtures/machines on a disk in memory: the steps that the plan has after the point of no return, by their own
// handlers, with every write and flush recorded.
import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { stepHandlers } from '@migrate/cli-migrate';
import {
  type ByteWriter,
  createMemoryHost,
  type Facts,
  handlerOf,
  type ImageFacts,
  type LifeboatBoot,
  type LifeboatPiece,
  type LifeboatRecord,
  orderStage2,
  type Plan,
  readerOf,
  type Step,
  type StepContext,
  writtenRanges,
} from '@migrate/core';
import { beagleUboot } from '@migrate/device-beagle';
import { layOutLifeboat, lifeboatSources, proveImage } from '@migrate/image-tools';
import { type CrashState, crashStates } from '../crash/crash-states.ts';
import type { LoggedWrite } from '../crash/write-log.ts';
import { boardFor } from './beagle-arming.ts';
import { beagleFacts, beagleMachine } from './beagle-in-memory.ts';
import { beagleJudge, type FirstLoader, type JudgedMigration, type JudgedState, type Loaders } from './beagle-judge.ts';

const mebibyte = 1024 * 1024;
const sectorBytes = 512;
const diskBytes = 100 * mebibyte;
const gapBytes = 4 * mebibyte;
/** The image lies behind the lifeboat, for stage 2 alone. */
const [boatByte, imageByte] = [44 * mebibyte, 90 * mebibyte];
const serial = 'BEA6-1E01';
const initramfs = ['/stage2.img', '/payload.img'] as const;

export interface BoardMigration {
  readonly boot: LifeboatBoot;
  /** Counts what all states boot. */
  judge(firstLoader: FirstLoader): Promise<Readonly<Record<string, number>>>;
  /** Bytes that are written from the first write that leaves the board without a system to the one that ends it. */
  windowBytes(firstLoader: FirstLoader): number;
}

export interface BoardOptions {
  /** The image has loaders also before its partitions. */
  readonly imageHasLoaders?: boolean;
  /** For controls: flashes as if there were no loaders before the partitions, or commits without clearing them first. */
  readonly mistake?: 'loaders forgotten' | 'loaders not cleared';
}

export async function migrateBoard(name: string, options: BoardOptions = {}): Promise<BoardMigration> {
  const [oldLoaders, newLoaders] = [loadersNamed('old'), loadersNamed('new')];
  const { facts, disk } = oldSystem(beagleFacts(name), oldLoaders);
  const raw = imageOf(newLoaders, options.imageHasLoaders === true);
  const packed = gzipSync(raw);
  const image = await proveImage({
    host: createMemoryHost({ files: { '/image': packed } }),
    path: '/image',
    emit: () => {},
    usedBlocks: 'find',
  });
  const { boot, files } = await bootFiles(facts, { oldLoaders, image });
  const { pieces, ...volume } = putFat(disk, boatByte, files);
  disk.set(packed, imageByte);
  const inPlace = { path: 'image', startByte: imageByte, sizeBytes: packed.length, sha256: digestOf(packed) };
  const lifeboat: LifeboatRecord = { planId: 'plan', startByte: boatByte, ...volume, pieces: [...pieces, inPlace] };
  const oldSector = Buffer.from(disk.subarray(0, sectorBytes));
  const log = await flash(disk, { image, lifeboat, loaders: loadersFor(boot, options) });
  const migration: JudgedMigration = {
    diskBytes,
    oldSector,
    newSector: raw.subarray(0, sectorBytes),
    ...{ oldLoaders, newLoaders, lifeboat },
    ranges: writtenRanges(image).map((range) => ({ ...range, startByte: Math.max(range.startByte, gapBytes) })),
    final: async (startByte, sizeBytes) => raw.subarray(startByte, startByte + sizeBytes),
    ...boardFor(facts),
  };
  const windows = new Map<FirstLoader, number>();
  return {
    boot,
    judge: async (firstLoader) => {
      const { counts, windowBytes } = await examine(log, disk, beagleJudge(migration, firstLoader));
      windows.set(firstLoader, windowBytes);
      return counts;
    },
    windowBytes: (firstLoader) => {
      const bytes = windows.get(firstLoader);
      if (bytes === undefined) throw new Error(`nothing was judged with ${firstLoader}`);
      return bytes;
    },
  };
}

function loadersFor({ loaders }: LifeboatBoot, { mistake }: BoardOptions): Pick<LifeboatBoot, 'loaders'> {
  if (loaders === undefined || mistake === 'loaders forgotten') return {};
  return { loaders: mistake === undefined ? loaders : { ...loaders, cleared: [] } };
}

/** Contents that are different everywhere, with what a header says of their size. */
function loadersNamed(name: string): Loaders {
  const pattern = (sizeBytes: number): Buffer => {
    const parts: Buffer[] = [];
    for (let done = 0; done < sizeBytes; done += 32)
      parts.push(createHash('sha256').update(`${name} ${sizeBytes} ${done}`).digest());
    return Buffer.concat(parts).subarray(0, sizeBytes);
  };
  const mlo = pattern(60_000);
  mlo.fill(0, 0, 0x208);
  mlo.write('CHSETTINGS', 0x14, 'latin1');
  mlo.writeUInt32LE(mlo.length - 0x208, 0x200);
  const uboot = pattern(300_000);
  uboot.fill(0, 0, 64);
  uboot.writeUInt32BE(0x27051956, 0);
  uboot.writeUInt32BE(uboot.length - 64, 12);
  return { mlo, uboot };
}

interface FatFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

/** A FAT volume with these files, and its pieces as a lifeboat's record has them, at a place of a disk. */
function putFat(disk: Buffer, startByte: number, files: readonly FatFile[]) {
  const contents = layOutLifeboat({
    files: files.map(({ path, bytes }) => ({ path, sizeBytes: bytes.length })),
    way: { kind: 'partition' },
    serial,
    time: new Date(0),
    disk: { sizeBytes: diskBytes, tableId: '0badcafe' },
  });
  const pieces: LifeboatPiece[] = [];
  const put = (at: number, bytes: Uint8Array, path?: string): void => {
    disk.set(bytes, startByte + at);
    const place = { startByte: startByte + at, sizeBytes: bytes.length, sha256: digestOf(bytes) };
    pieces.push(path === undefined ? place : { path, ...place });
  };
  for (const piece of contents.pieces(startByte)) put(piece.startByte, piece.bytes);
  for (const { path, bytes } of files) put(contents.startOf(path), bytes, path);
  return { sizeBytes: contents.sizeBytes, pieces, ...contents.wayRecord(startByte) };
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function putRawLoaders(disk: Buffer, { mlo, uboot }: Loaders): void {
  disk.set(mlo, 0x20000);
  disk.set(uboot, 0x60000);
}

const onFat = ({ mlo, uboot }: Loaders): readonly FatFile[] => [
  { path: 'MLO', bytes: mlo },
  { path: 'u-boot.img', bytes: uboot },
];

/** An image of one partition, of which only what makes its FAT is used. */
function imageOf(loaders: Loaders, hasRawLoaders: boolean): Buffer {
  const image = Buffer.alloc(gapBytes + 40 * mebibyte);
  const { sizeBytes } = putFat(image, gapBytes, [
    ...onFat(loaders),
    { path: 'zImage', bytes: Buffer.alloc(90_000, 7) },
  ]);
  if (hasRawLoaders) putRawLoaders(image, loaders);
  putTable(image, '7a7a7a7a', { startByte: gapBytes, sizeBytes, type: 0x0c });
  return image.subarray(0, gapBytes + sizeBytes);
}

function putTable(
  disk: Buffer,
  id: string,
  { startByte, sizeBytes, type }: { startByte: number; sizeBytes: number; type: number },
): void {
  disk.writeUInt32LE(Number.parseInt(id, 16), 440);
  disk[446] = 0x80;
  disk[450] = type;
  disk.writeUInt32LE(startByte / sectorBytes, 454);
  disk.writeUInt32LE(sizeBytes / sectorBytes, 458);
  disk.writeUInt16LE(0xaa55, 510);
}

/** The disk of a board, and what is known of it: its loaders, and on FAT or before the partitions as its facts have them. */
function oldSystem(known: Facts, loaders: Loaders): { readonly facts: Facts; readonly disk: Buffer } {
  const [given] = known.disks;
  const [first] = given?.partitions ?? [];
  if (given?.table === undefined || first === undefined) throw new Error('the board has no disk');
  const disk = Buffer.alloc(diskBytes, 0xaa);
  disk.fill(0, 0, first.startByte);
  const isFat = first.fileSystem?.type === 'vfat';
  const sizeBytes = isFat ? putFat(disk, first.startByte, onFat(loaders)).sizeBytes : diskBytes - first.startByte;
  if (!isFat) putRawLoaders(disk, loaders);
  putTable(disk, given.table.id, { startByte: first.startByte, sizeBytes, type: isFat ? 0x0c : 0x83 });
  const bootAreas = (known.bootAreas ?? []).map((area) => {
    const bytes = disk.subarray(area.startByte, area.startByte + area.sizeBytes);
    const { contents: _, ...place } = area;
    if (area.path !== given.path) return area;
    return bytes.some((byte) => byte !== 0) ? { ...place, contents: bytes.toString('base64') } : place;
  });
  return { facts: { ...known, bootAreas }, disk };
}

/** What the plan puts into the volume, read as stage 1 reads it. */
async function bootFiles(
  facts: Facts,
  { oldLoaders, image }: { oldLoaders: Loaders; image: ImageFacts },
): Promise<{ readonly boot: LifeboatBoot; readonly files: readonly FatFile[] }> {
  const [disk] = facts.disks;
  if (disk === undefined) throw new Error('the board has no disk');
  const commandLine = ['rdinit=/migrate/init', 'migrate.lifeboat'];
  const payload = { kernelPath: '/vmlinuz', initramfsPaths: [], commandLine, loaderDirectory: '' };
  const boot = beagleUboot.lifeboat?.(payload, { facts, disk, image });
  if (boot === undefined || typeof boot === 'string') throw new Error(boot ?? 'there is no way');
  const { host } = beagleMachine(facts);
  const gap = await host.openWrite(disk.path);
  const before = Buffer.alloc(1024 * 1024);
  putRawLoaders(before, oldLoaders);
  await gap.write(before, 0);
  for (const { path } of (facts.bootListing ?? []).filter(({ path: each }) => /\/(MLO|u-boot\.img)$/.test(each)))
    await host.writeDurable(path, path.endsWith('MLO') ? oldLoaders.mlo : oldLoaders.uboot, { mode: 0o644 });
  for (const path of initramfs) await host.writeDurable(path, Buffer.alloc(90_000, path.length), { mode: 0o600 });
  const sources = await lifeboatSources(host, [
    ...(boot.firstFiles ?? []),
    ...boot.files,
    { path: 'vmlinuz', from: facts.kernel.image?.path ?? '' },
    { path: boot.initramfs ?? '', archives: initramfs },
  ]);
  const files = await Promise.all(
    sources.map(async ({ path, sizeBytes, open }) => {
      const reader = await open();
      const bytes = Buffer.alloc(sizeBytes);
      await reader.read(bytes, 0);
      await reader.close();
      return { path, bytes };
    }),
  );
  return { boot, files };
}

interface Log {
  readonly entries: readonly LoggedWrite[];
  /** By `dataByte`: what was written, and what was there before. */
  readonly data: readonly { readonly after: Buffer; readonly before: Buffer }[];
}

/** As it was before the first entry. */
function takeBack(disk: Buffer, { entries, data }: Log): void {
  for (const { kind, startByte, dataByte } of [...entries].reverse())
    if (kind === 'write') disk.set(data[dataByte]?.before ?? [], startByte);
}

/**
 * Carries out the steps after the point of no return but for the configuration, which does not write where it matters here. The disk
 * is then as it was.
 */
async function flash(
  bytes: Buffer,
  { image, lifeboat, loaders }: { image: ImageFacts; lifeboat: LifeboatRecord; loaders: Pick<LifeboatBoot, 'loaders'> },
): Promise<Log> {
  const entries: LoggedWrite[] = [];
  const data: Log['data'][number][] = [];
  const note = (kind: LoggedWrite['kind'], startByte: number, sizeBytes: number): void => {
    entries.push({ kind, startByte, sizeBytes, isForced: false, dataByte: data.length - 1 });
  };
  const disk: ByteWriter = {
    ...readerOf(bytes),
    write: async (source, startByte) => {
      const before = Buffer.from(bytes.subarray(startByte, startByte + source.length));
      data.push({ after: Buffer.from(source), before });
      note('write', startByte, source.length);
      bytes.set(source, startByte);
    },
    flush: async () => note('flush', 0, 0),
  };
  const targetPath = '/dev/disk';
  const host = { ...createMemoryHost(), openRead: async () => disk, openDisk: async () => disk };
  const leave: Step = { kind: 'leave-lifeboat', id: 'leave-lifeboat', secrets: ['initrd.img'] };
  const { stage2, pointOfNoReturn } = orderStage2({
    image,
    layout: { payload: [], placed: [] },
    restoreBoot: [],
    bootTarget: [],
    lifeboat: { entries: [], leave, ...loaders },
    noFlash: false,
  });
  const plan = { id: 'plan', image } as Plan;
  const context: StepContext = { host, plan, emit: () => {}, log: () => new Uint8Array(), targetPath, lifeboat };
  for (const step of stage2.slice(stage2.findIndex(({ id }) => id === pointOfNoReturn)))
    if (step.kind !== 'configure-image') await handlerOf(stepHandlers, step).apply(step, context);
  takeBack(bytes, { entries, data });
  return { entries, data };
}

/** Looks at every state of the log; throws where one outside of the window is bricked. */
async function examine(
  log: Log,
  disk: Buffer,
  judge: (state: JudgedState) => Promise<string>,
): Promise<{ readonly counts: Readonly<Record<string, number>>; readonly windowBytes: number }> {
  const { entries, data } = log;
  const counts: Record<string, number> = {};
  let applied = 0;
  const bad: { readonly state: CrashState; readonly end?: number }[] = [];
  const good: number[] = [];
  for (const state of crashStates(entries, { unitBytes: sectorBytes })) {
    for (const entry of entries.slice(applied, state.complete))
      if (entry.kind === 'write') disk.set(data[entry.dataByte]?.after ?? [], entry.startByte);
    applied = Math.max(applied, state.complete);
    const said = await judge(viewOf(state, { ...log, disk }));
    counts[said] = (counts[said] ?? 0) + 1;
    const end = /: the first \d+ of/.test(state.name) ? { end: state.complete + state.arrived.length } : {};
    if (said.startsWith('bricked')) bad.push({ state, ...end });
    else if (end.end !== undefined) good.push(end.end);
  }
  takeBack(disk, { entries: entries.slice(0, applied), data });
  if (bad.length === 0) return { counts, windowBytes: 0 };
  const ends = bad.flatMap(({ end }) => end ?? []);
  const first = Math.min(...ends) - 1;
  const behind = Math.min(...good.filter((end) => end > Math.max(...ends)), entries.length);
  const stray = bad.find(({ state }) => state.complete > behind || state.complete + state.arrived.length < first);
  if (stray !== undefined) throw new Error(`bricked outside of the window: ${stray.state.name}`);
  const windowBytes = entries.slice(first, behind).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  return { counts, windowBytes };
}

function viewOf(
  { arrived, complete }: CrashState,
  { disk, entries, data }: Log & { readonly disk: Buffer },
): JudgedState {
  return {
    read: async (startByte, sizeBytes) => {
      const bytes = Buffer.from(disk.subarray(startByte, startByte + sizeBytes));
      for (const { entry, sizeBytes: written } of arrived) {
        const from = Math.max(startByte, entry.startByte);
        const to = Math.min(startByte + bytes.length, entry.startByte + written);
        if (from < to && entry.kind === 'write')
          data[entry.dataByte]?.after.copy(bytes, from - startByte, from - entry.startByte, to - entry.startByte);
      }
      return bytes;
    },
    isTouched: ({ startByte, endByte }) =>
      [...entries.slice(0, complete).map((entry) => ({ entry, sizeBytes: entry.sizeBytes })), ...arrived].some(
        ({ entry, sizeBytes }) => entry.startByte < endByte && startByte < entry.startByte + sizeBytes,
      ),
  };
}
