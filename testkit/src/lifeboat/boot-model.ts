// What firmware starts from a disk in a given state, and whether that is whole. For the part of a migration in which the old
// system is no longer mounted: all writes are stage 2's.
import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { crc32, createNodeHost, writtenRanges } from '@migrate/core';
import { proveImage } from '@migrate/image-tools';
import type { DiskState } from '../crash/disk-states.ts';
import { lateOldSystem } from './late-old-system.ts';
import type { RecordedStage2 } from './recorded-migration.ts';

const sectorBytes = 512;
/** `board_sector` of init, which counts starts there; no file system has it. */
export const startsSector = 12;
/** Of a chunk that is compared at once. */
const compareBytes = 1024 * 1024;

/** Returns "old", "stage 2 again", "lifeboat" or "new", or "bricked: …" with what is missing. */
export type BootModel = (state: DiskState) => Promise<string>;

export async function bootModel(recorded: RecordedStage2): Promise<BootModel> {
  const { way, lifeboat, image, base, after, rearming } = recorded;
  const [before, final] = [await open(base), await open(after)];
  const { size: diskBytes } = await before.stat();
  const sectorOf = async (file: typeof before, startByte: number): Promise<Buffer> => {
    const bytes = Buffer.alloc(sectorBytes);
    await file.read(bytes, 0, sectorBytes, startByte);
    return bytes;
  };
  const facts = await proveImage({ host: createNodeHost(), path: image.raw, emit: () => {}, usedBlocks: 'find' });
  const ranges = writtenRanges(facts);
  const [firstOld, firstNew] = [await sectorOf(before, 0), await sectorOf(final, 0)];
  const [headerOld, headerNew] = [await sectorOf(before, sectorBytes), await sectorOf(final, sectorBytes)];
  const backupOld = await sectorOf(before, diskBytes - sectorBytes);
  await Promise.all([before.close(), final.close()]);
  const switched = Buffer.from(lifeboat.switch.bytes, 'base64');
  const switchedBackup = Buffer.from(lifeboat.backup?.bytes ?? '', 'base64');

  const late = rearming === undefined ? undefined : lateOldSystem(rearming, { lifeboat, diskBytes });
  const old = async (state: DiskState): Promise<string> => {
    if (late !== undefined) return late(state);
    // But for the sectors that are looked at above: GRUB behind an MBR, and the entries of a GPT, belong to it.
    const from = (way === 'gpt' ? 2 : 1) * sectorBytes;
    const isHurt =
      state.isTouched({ startByte: from, endByte: lifeboat.startByte }) ||
      state.isTouched({ startByte: lifeboat.startByte + lifeboat.sizeBytes, endByte: diskBytes - sectorBytes });
    return isHurt ? 'bricked: the old system is damaged' : 'old';
  };
  const boat = async (state: DiskState): Promise<string> => {
    for (const { path, startByte, sizeBytes, sha256 } of lifeboat.pieces) {
      if (!state.isTouched({ startByte, endByte: startByte + sizeBytes })) continue;
      const bytes = await state.read(startByte, sizeBytes);
      const counter = lifeboat.startByte + startsSector * sectorBytes - startByte;
      if (counter >= 0 && counter < sizeBytes) bytes.fill(0, counter, counter + sectorBytes);
      const digest = createHash('sha256').update(bytes).digest('hex');
      if (digest !== sha256) return `bricked: ${path ?? 'the file system'} of the lifeboat is damaged`;
    }
    return 'lifeboat';
  };
  /** Chunks that are as expected in all states with so many complete entries, but where another write has arrived. */
  const known = { complete: -1, chunks: new Set<number>() };
  const fresh = async (state: DiskState): Promise<string> => {
    const disk = await open(after);
    try {
      return await compareWith(disk, state);
    } finally {
      await disk.close();
    }
  };
  const compareWith = async (disk: typeof final, state: DiskState): Promise<string> => {
    if (known.complete !== state.complete) Object.assign(known, { complete: state.complete, chunks: new Set() });
    const expected = Buffer.alloc(compareBytes);
    for (const { startByte, endByte } of ranges) {
      // Sector 0 was looked at: with UEFI any protective MBR will do.
      for (let position = Math.max(startByte, sectorBytes); position < endByte; position += compareBytes) {
        const length = Math.min(compareBytes, endByte - position);
        const isWritten = state.arrived.some(
          ({ entry, sizeBytes }) => entry.startByte < position + length && position < entry.startByte + sizeBytes,
        );
        if (!isWritten && known.chunks.has(position)) continue;
        await disk.read(expected, 0, length, position);
        if (!(await state.read(position, length)).equals(expected.subarray(0, length)))
          return `bricked: the new system differs near byte ${position}`;
        if (!isWritten) known.chunks.add(position);
      }
    }
    return 'new';
  };

  // GRUB's boot code, or firmware that looks for a FAT partition in the table.
  const bySectorZero: BootModel = async (state) => {
    const first = await state.read(0, sectorBytes);
    if (first.equals(switched)) return boat(state);
    if (first.equals(firstNew)) return fresh(state);
    return first.equals(firstOld) ? old(state) : 'bricked: sector 0 is none of the three';
  };
  // UEFI specification 2.10, 5.3.2: the primary header counts where its checksum is right, else the backup.
  const byGpt: BootModel = async (state) => {
    const first = await state.read(0, sectorBytes);
    if (first[450] !== 0xee || first.readUInt16LE(510) !== 0xaa55) return 'bricked: there is no protective MBR';
    const primary = await state.read(sectorBytes, sectorBytes);
    const header = isSound(primary) ? primary : await state.read(diskBytes - sectorBytes, sectorBytes);
    if (header.equals(switched) || header.equals(switchedBackup)) return boat(state);
    if (header.equals(headerNew)) return fresh(state);
    return header.equals(headerOld) || header.equals(backupOld)
      ? old(state)
      : 'bricked: no header of a GPT is one of the three';
  };
  return { mbr: bySectorZero, partition: bySectorZero, gpt: byGpt }[way];
}

function isSound(header: Buffer): boolean {
  if (header.toString('latin1', 0, 8) !== 'EFI PART') return false;
  const length = header.readUInt32LE(12);
  if (length < 92 || length > sectorBytes) return false;
  const bytes = Buffer.from(header.subarray(0, length));
  bytes.writeUInt32LE(0, 16);
  return crc32(bytes) === header.readUInt32LE(16);
}
