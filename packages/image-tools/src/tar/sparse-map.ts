// Where the data of a sparse file lies: GNU tar's manual, appendix "Storing Sparse Files".
import { type ByteRange, MigrateError } from '@migrate/core';
import type { ByteQueue } from './byte-queue.ts';
import { type PaxRecords, paxNumber } from './pax-records.ts';
import { parseTarNumber, type TarHeader, tarBlockBytes } from './tar-header.ts';

export interface SparseMap {
  /** Size of the file with its holes. */
  readonly sizeBytes: number;
  /** Ascending and apart. */
  readonly ranges: readonly ByteRange[];
  /** Bytes of the member's contents that the map itself takes. */
  readonly mapBytes: number;
}

/** Far more than any file of an operating system has; each takes memory. */
const maximumRanges = 200_000;
const oldHeaderPlaces = { ranges: 386, count: 4, isExtended: 482, realSize: 483 };
const oldExtensionPlaces = { ranges: 0, count: 21, isExtended: 504 };
const oldNumberBytes = 12;

/** Of a member of type S. Its extension blocks stand before the contents and do not count in their size. */
export async function readOldSparseMap(header: TarHeader, queue: ByteQueue): Promise<SparseMap> {
  const numbers: number[] = [];
  let places: { ranges: number; count: number; isExtended: number } = oldHeaderPlaces;
  for (let block: Buffer | undefined = header.block; ; ) {
    for (let index = 0; index < places.count * 2; index += 1) {
      const start = places.ranges + index * oldNumberBytes;
      const field = block.subarray(start, start + oldNumberBytes);
      // An unused pair is all NUL and ends the list.
      if (index % 2 === 0 && field[0] === 0) break;
      numbers.push(parseTarNumber(field));
    }
    if (numbers.length > maximumRanges * 2) throw damaged('it is cut into too many parts');
    if (block[places.isExtended] === 0) break;
    places = oldExtensionPlaces;
    block = await queue.take(tarBlockBytes);
    if (block === undefined) throw damaged('it is cut off');
  }
  const start = oldHeaderPlaces.realSize;
  const sizeBytes = parseTarNumber(header.block.subarray(start, start + oldNumberBytes));
  return { sizeBytes, ranges: toRanges(numbers, sizeBytes), mapBytes: 0 };
}

/** Of a member with GNU.sparse records, formats 0.1 and 1.0; undefined where it has none. */
export async function readPaxSparseMap(records: PaxRecords, queue: ByteQueue): Promise<SparseMap | undefined> {
  const major = paxNumber(records, 'GNU.sparse.major');
  if (major === undefined) {
    const map = records.get('GNU.sparse.map');
    const sizeBytes = paxNumber(records, 'GNU.sparse.size');
    if (map === undefined || sizeBytes === undefined) return undefined;
    const numbers = map === '' ? [] : map.split(',', maximumRanges * 2 + 1).map(decimal);
    return { sizeBytes, ranges: toRanges(numbers, sizeBytes), mapBytes: 0 };
  }
  const sizeBytes = paxNumber(records, 'GNU.sparse.realsize');
  if (major !== 1 || paxNumber(records, 'GNU.sparse.minor') !== 0 || sizeBytes === undefined)
    throw damaged('it is in a sparse format that is not known');
  const { numbers, mapBytes } = await readMapLines(queue);
  return { sizeBytes, ranges: toRanges(numbers, sizeBytes), mapBytes };
}

/** Format 1.0: decimal numbers on lines at the start of the contents, padded to a whole block. */
async function readMapLines(queue: ByteQueue): Promise<{ numbers: readonly number[]; mapBytes: number }> {
  const numbers: number[] = [];
  let mapBytes = 0;
  let rest = '';
  let wanted = 1;
  while (numbers.length < wanted) {
    const block = await queue.take(tarBlockBytes);
    if (block === undefined) throw damaged('it is cut off');
    mapBytes += block.length;
    const lines = (rest + block.toString('latin1')).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > tarBlockBytes) throw damaged('its sparse map is no list of numbers');
    for (const line of lines) {
      if (numbers.length === wanted) break;
      const value = decimal(line);
      if (numbers.length === 0) {
        if (value > maximumRanges) throw damaged('it is cut into too many parts');
        wanted = 1 + value * 2;
      }
      numbers.push(value);
    }
  }
  return { numbers: numbers.slice(1), mapBytes };
}

function decimal(text: string): number {
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(Number(text)))
    throw damaged('its sparse map is no list of numbers');
  return Number(text);
}

/** Empty ranges, which GNU tar puts at the end of a file that ends with a hole, are left out. */
function toRanges(numbers: readonly number[], sizeBytes: number): ByteRange[] {
  if (numbers.length % 2 !== 0 || numbers.length > maximumRanges * 2) throw damaged('its sparse map is odd');
  const ranges: ByteRange[] = [];
  let before = 0;
  for (let index = 0; index < numbers.length; index += 2) {
    const startByte = numbers[index] ?? 0;
    const endByte = startByte + (numbers[index + 1] ?? 0);
    if (startByte < before || endByte > sizeBytes) throw damaged('its sparse map overlaps or ends beyond the file');
    before = endByte;
    if (endByte > startByte) ranges.push({ startByte, endByte });
  }
  return ranges;
}

function damaged(why: string): MigrateError {
  return new MigrateError('invalid-input', why);
}
