// What the old boot path of a disk starts while stage 2 makes a lifeboat over files of the old system.
import type { ByteRange, LifeboatRecord } from '@migrate/core';
import type { DiskState } from '../crash/disk-states.ts';
import type { Rearming } from './recorded-migration.ts';

const sectorBytes = 512;
/** No file of a lifeboat has a part of such a block that is another's. */
const blockBytes = 4096;

/**
 * Returns "old", "stage 2 again", or "bricked: …". The first state that is asked for must be that before the first write. That nothing
 * which the boot path needs lies where the lifeboat does is shown elsewhere.
 */
export function lateOldSystem(
  { environment, startByte }: Rearming,
  { lifeboat, diskBytes }: { readonly lifeboat: LifeboatRecord; readonly diskBytes: number },
): (state: DiskState) => Promise<string> {
  const ours: readonly ByteRange[] = [
    { startByte: lifeboat.startByte, endByte: lifeboat.startByte + lifeboat.sizeBytes },
    ...lifeboat.pieces.map((piece) => ({
      startByte: piece.startByte,
      endByte: Math.ceil((piece.startByte + piece.sizeBytes) / blockBytes) * blockBytes,
    })),
  ];
  // The sectors that switch were looked at before.
  const others = gapsBetween([...ours, environment], { startByte: 2 * sectorBytes, endByte: diskBytes - sectorBytes });
  const offset = startByte - environment.startByte;
  let first: Buffer | undefined;
  return async (state) => {
    const found = await state.read(environment.startByte, environment.endByte - environment.startByte);
    first ??= found;
    const sector = found.subarray(offset, offset + sectorBytes);
    // A write of the page cache has more than the sector that it is made for.
    const beside = Buffer.concat([first.subarray(0, offset), sector, first.subarray(offset + sectorBytes)]);
    if (!found.equals(beside)) return 'bricked: the environment block of GRUB, or what lies beside it, is damaged';
    if (others.some((range) => state.isTouched(range))) return 'bricked: the old boot path or the payload is damaged';
    if (sector.includes('\nmigrate_always=balena-migrate-')) return 'stage 2 again';
    return ours.some((range) => state.isTouched(range)) ? 'bricked: a damaged old system starts' : 'old';
  };
}

function gapsBetween(ranges: readonly ByteRange[], { startByte, endByte }: ByteRange): readonly ByteRange[] {
  const gaps: ByteRange[] = [];
  let position = startByte;
  for (const range of [...ranges].sort((a, b) => a.startByte - b.startByte)) {
    if (range.startByte > position) gaps.push({ startByte: position, endByte: range.startByte });
    position = Math.max(position, range.endByte);
  }
  if (position < endByte) gaps.push({ startByte: position, endByte });
  return gaps;
}
