// IMAGE.usedmap.json: the used-block map of an image, written beside it where it is converted, so that a slow machine need not
// look for the used blocks of its own. It saves time and is never trusted: proving compares every checksum, and works out the
// used blocks from the image once more.

import {
  type ByteRange,
  doing,
  type Emit,
  type HostReader,
  type ImageFacts,
  MigrateError,
  type UsedBlocks,
} from '@migrate/core';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { FromSchema } from 'json-schema-to-ts';
import { chunksIn } from '../flash/chunks.ts';
import { usedMapSchema } from './used-map-schema.ts';

export type UsedMapFile = FromSchema<typeof usedMapSchema>;

/** A map that is sound in itself. */
export interface UsedMap {
  /** Name of the file for messages. */
  readonly path: string;
  readonly fileBytes: number;
  readonly fileSha256: string;
  readonly sizeBytes: number;
  readonly chunkBytes: number;
  readonly usedBlocks: UsedBlocks;
  /** As in ImageFacts. */
  readonly chunkSha256: readonly string[];
}

/** Where the map of an image lies. */
export function usedMapPath(imagePath: string): string {
  return `${imagePath}.usedmap.json`;
}

/** Far more than a map of the most ranges and the largest image takes. */
const limitBytes = 64 * 1024 * 1024;

/**
 * The map beside an image; undefined where there is none. A bmap beside it is only mentioned. Throws `invalid-input` for a map
 * that is no map or contradicts itself, `unsupported` for one of another kind or version.
 */
export async function readUsedMap(host: HostReader, imagePath: string, emit: Emit): Promise<UsedMap | undefined> {
  for (const bmap of [`${imagePath}.bmap`, imagePath.replace(/\.gz$/, '.bmap')]) {
    if (bmap === imagePath || (await host.status(bmap)) === undefined) continue;
    emit({ kind: 'note', level: 'info', text: `${bmap} is not used: ${whyNoBmap}` });
  }
  const path = usedMapPath(imagePath);
  if ((await host.status(path)) === undefined) return undefined;
  const text = new TextDecoder().decode(await host.readFile(path, { limitBytes }));
  return doing(path, 'read-failed', async () => parseUsedMap(text, path));
}

const whyNoBmap =
  'a bmap leaves out what was a hole in the image file, blocks of zeros inside of files among it, so that files are damaged on a disk that is not blank';

let compiled: ValidateFunction<UsedMapFile> | undefined;

/** Parses and checks the text of a map; errors do not name the file. */
export function parseUsedMap(text: string, path: string): UsedMap {
  if (/^\s*<(\?xml|bmap)/.test(text)) {
    throw new MigrateError('unsupported', `this is a bmap, not a used-block map: ${whyNoBmap}; remove it`);
  }
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (thrown) {
    throw faulty('it is not JSON', thrown);
  }
  if (typeof value === 'object' && value !== null && 'version' in value && value.version !== 1) {
    throw new MigrateError('unsupported', `used-block maps of version ${String(value.version)} are not known; ${cure}`);
  }
  compiled ??= new Ajv2020({ strict: true }).compile<UsedMapFile>(usedMapSchema);
  if (!compiled(value)) {
    const [fault] = compiled.errors ?? [];
    throw faulty(`${fault?.instancePath || 'the whole'} ${fault?.message ?? 'is wrong'}`);
  }
  const { image, chunkBytes, ranges, wholePartitions } = value;
  checkRanges(ranges, image.sizeBytes, chunkBytes);
  return {
    path,
    ...image,
    chunkBytes,
    usedBlocks: { ranges: ranges.map(({ startByte, endByte }) => ({ startByte, endByte })), wholePartitions },
    chunkSha256: ranges.flatMap(({ chunkSha256 }) => chunkSha256),
  };
}

function checkRanges(ranges: UsedMapFile['ranges'], sizeBytes: number, chunkBytes: number): void {
  let endByte = -1;
  for (const range of ranges) {
    const name = `range ${range.startByte} to ${range.endByte}`;
    if (range.startByte <= endByte) throw faulty(`${name} does not follow the one before`);
    if (range.endByte <= range.startByte) throw faulty(`${name} is empty`);
    if (range.endByte > sizeBytes) throw faulty(`${name} ends beyond the image`);
    if (range.chunkSha256.length !== chunkCount(range, chunkBytes)) throw faulty(`${name} has not one hash a chunk`);
    endByte = range.endByte;
  }
  if (ranges[0]?.startByte !== 0) throw faulty('it leaves out the first sectors');
}

function chunkCount({ startByte, endByte }: ByteRange, chunkBytes: number): number {
  return Math.ceil(endByte / chunkBytes) - Math.floor(startByte / chunkBytes);
}

/** Throws where an image that was proven with the ranges of a map is not the one that the map was made from. */
export function checkProven(map: UsedMap, image: ImageFacts): void {
  const isSame =
    map.fileBytes === image.fileBytes &&
    map.fileSha256 === image.fileSha256 &&
    map.sizeBytes === image.sizeBytes &&
    map.chunkSha256.length === image.chunkSha256.length &&
    map.chunkSha256.every((digest, index) => digest === image.chunkSha256[index]);
  if (isSame) return;
  throw new MigrateError('verify-mismatch', `${map.path} belongs to another image than ${image.path}; ${cure}`, {
    data: { path: map.path },
  });
}

/** The text of the map of an image whose used blocks were found. */
export function serializeUsedMap(image: ImageFacts): string {
  const { fileBytes, fileSha256, sizeBytes, chunkBytes, chunkSha256, usedBlocks } = image;
  const { const: knownChunkBytes } = usedMapSchema.properties.chunkBytes;
  if (usedBlocks === undefined || chunkBytes !== knownChunkBytes)
    throw new Error('this image was not proven with its used blocks');
  let before = 0;
  const ranges = usedBlocks.ranges.map((range) => {
    const first = before;
    before += [...chunksIn([range], chunkBytes)].length;
    return { ...range, chunkSha256: chunkSha256.slice(first, before) };
  });
  const file: UsedMapFile = {
    version: 1,
    image: { fileBytes, fileSha256, sizeBytes },
    chunkBytes,
    ranges,
    wholePartitions: usedBlocks.wholePartitions.map((whole) => ({ ...whole })),
  };
  return `${JSON.stringify(file, null, 1)}\n`;
}

const cure = 'remove the map, or make it anew from the image';

function faulty(why: string, cause?: unknown): MigrateError {
  return new MigrateError('invalid-input', `this is no sound used-block map: ${why}; ${cure}`, { cause });
}
