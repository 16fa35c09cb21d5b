// The end of a flash where firmware takes boot loaders from before the partitions, whatever the partition table says.
import { alignedBuffers, type ByteWriter, type LoaderSectors, MigrateError } from '@migrate/core';
import { imageSectorBytes } from '../inspect/inspect-image.ts';

const noSector = new Uint8Array(imageSectorBytes);

/**
 * Clears the first sectors of the old loaders, one by one, so that they are no loaders any more; then writes `withheld`, all that the
 * image has up to `endByte`, the sectors of `last` in their order after all else, one by one. Where there is nothing else, what the old
 * loaders leave is cleared after them: nothing looks at it. Each write is durable before the next. `dropCaches` makes what is
 * read back come from the medium. Throws `verify-mismatch`; it may be run again.
 */
export async function replaceLoaders(
  target: ByteWriter,
  withheld: Uint8Array,
  { cleared, last }: LoaderSectors,
  dropCaches: () => Promise<void> = async () => {},
): Promise<void> {
  const [wanted = Buffer.alloc(0), found = Buffer.alloc(0)] = alignedBuffers(2, withheld.length);
  wanted.set(withheld);
  const others = betweenSectors(wanted.length, last);
  const isUsed = others.some(([startByte, endByte]) => wanted.subarray(startByte, endByte).some((byte) => byte !== 0));
  const writeOthers = async (): Promise<void> => {
    for (const [startByte, endByte] of others) await target.write(wanted.subarray(startByte, endByte), startByte);
    await target.flush();
  };
  const expectKept = async (spans: readonly Span[]): Promise<void> => {
    await dropCaches();
    await target.read(found, 0);
    for (const [startByte, endByte] of spans) {
      if (found.subarray(startByte, endByte).compare(wanted.subarray(startByte, endByte)) !== 0)
        throw new MigrateError('verify-mismatch', `the disk did not keep what was written from byte ${startByte} on`);
    }
  };
  for (const startByte of cleared) await writeSector(target, noSector, startByte);
  if (isUsed) {
    await writeOthers();
    await expectKept(others);
  }
  for (const startByte of last)
    await writeSector(target, wanted.subarray(startByte, startByte + imageSectorBytes), startByte);
  if (!isUsed) await writeOthers();
  await expectKept([[0, wanted.length]]);
}

type Span = readonly [startByte: number, endByte: number];

/** All up to `endByte` but for those sectors. */
function betweenSectors(endByte: number, sectors: readonly number[]): readonly Span[] {
  const spans: Span[] = [];
  let from = 0;
  for (const startByte of [...sectors].sort((one, other) => one - other)) {
    if (startByte > from) spans.push([from, startByte]);
    from = startByte + imageSectorBytes;
  }
  return from < endByte ? [...spans, [from, endByte]] : spans;
}

async function writeSector(target: ByteWriter, bytes: Uint8Array, startByte: number): Promise<void> {
  await target.write(bytes, startByte);
  await target.flush();
}
