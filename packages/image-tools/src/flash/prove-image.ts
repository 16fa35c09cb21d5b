import { createHash } from 'node:crypto';
import {
  type ByteRange,
  type ByteReader,
  checkLayout,
  type Emit,
  type ExpectedHash,
  type HostReader,
  type ImageFacts,
  MigrateError,
  type UsedBlocks,
} from '@migrate/core';
import { type Inspection, imageSectorBytes, inspectImage } from '../inspect/inspect-image.ts';
import { clipRanges, firstUncovered } from '../map/ranges.ts';
import { useReaders } from '../map/use-readers.ts';
import { checkProven, readUsedMap } from '../map/used-map-file.ts';
import { forwardReader } from '../open/forward-reader.ts';
import { compressionOf, type ImageCompression } from '../open/image-compression.ts';
import { chunkHasher } from './chunk-hasher.ts';
import { chunksIn } from './chunks.ts';

/** Chunks that are hashed, written and verified one by one. */
export const chunkBytes = 2 * 1024 * 1024;

export interface ProofRequest {
  readonly host: HostReader;
  readonly path: string;
  /** Opens it where it is no file of that path. */
  readonly open?: () => Promise<ByteReader>;
  readonly expectedHash?: ExpectedHash;
  readonly emit: Emit;
  /**
   * What is to be written: "find" works out which blocks are used (or takes them from a map beside the image); what an
   * earlier proof found is checked again. Absent: everything.
   */
  readonly usedBlocks?: 'find' | UsedBlocks;
}

/**
 * Reads an image to its last byte: inflates all of it, hashes the file and every chunk that is written, and inspects it on the
 * way. A packed image whose used blocks must be found is read twice, since they are known only after most of it has passed.
 * Throws `verify-mismatch` for another hash than expected, `invalid-input` or `wrong-image` for one that is not sound or whose
 * file systems use more than `usedBlocks` says.
 */
export async function proveImage({
  host,
  path,
  open = () => host.openRead(path),
  expectedHash,
  emit,
  usedBlocks,
}: ProofRequest): Promise<ImageFacts> {
  const source = await open();
  try {
    const file: ImageFile = { host, source, path, compression: await compressionOf(source, path), emit };
    if (usedBlocks === undefined) return await readToEnd(file, { expectedHash });
    const map = usedBlocks === 'find' ? await readUsedMap(host, path, emit) : undefined;
    const known = usedBlocks === 'find' ? map?.usedBlocks : usedBlocks;
    const inspection = known === undefined ? await lookAhead(file) : undefined;
    const ranges = (known ?? inspection?.usedBlocks)?.ranges;
    const facts = await readToEnd(file, { expectedHash, ranges, inspection });
    if (map !== undefined) checkProven(map, facts);
    return known === undefined ? facts : await named(path, async () => withRanges(facts, known));
  } finally {
    await source.close();
  }
}

interface ImageFile {
  readonly host: HostReader;
  readonly source: ByteReader;
  readonly path: string;
  readonly compression: ImageCompression;
  readonly emit: Emit;
}

/** Inspects an image before it is hashed, no further than its last table of blocks. */
async function lookAhead({ host, source, path, compression, emit }: ImageFile): Promise<Inspection> {
  if (compression === 'none') return named(path, () => inspectImage(source, { useReaders }));
  const reader = forwardReader(source, {
    path,
    compression,
    host,
    onFileBytes: progressOf('finding used blocks', source, emit),
  });
  try {
    return await named(path, () => inspectImage(reader, { useReaders }));
  } finally {
    await reader.close();
  }
}

interface Expectation {
  readonly expectedHash: ExpectedHash | undefined;
  /** What is written, and so hashed; absent: everything. */
  readonly ranges?: readonly ByteRange[] | undefined;
  /** What the ranges are from, so that it need not be made again. */
  readonly inspection?: Inspection | undefined;
}

/** Facts with the used blocks as the image itself has them, where ranges are given, and with the hashes of those ranges. */
async function readToEnd(
  { host, source, path, compression, emit }: ImageFile,
  { expectedHash, ranges, inspection: earlier }: Expectation,
): Promise<ImageFacts> {
  const fileHash = createHash('sha256');
  const otherHash =
    expectedHash === undefined || expectedHash.algorithm === 'sha256' ? undefined : createHash(expectedHash.algorithm);
  const chunks = chunkHasher(chunksIn(ranges ?? [{ startByte: 0, endByte: Number.MAX_SAFE_INTEGER }], chunkBytes));
  const progress = progressOf('proving the image', source, emit);
  let fileBytes = 0;
  const reader = forwardReader(source, {
    path,
    compression,
    host,
    onFileBytes: (bytes) => {
      fileHash.update(bytes);
      otherHash?.update(bytes);
      fileBytes += bytes.length;
      progress(bytes);
    },
    onImageBytes: chunks.update,
  });
  try {
    // A raw image is looked at where it lies; the stream need not go back for it.
    const place = compression === 'none' ? source : reader;
    const inspection =
      earlier ?? (await named(path, () => inspectImage(place, ranges === undefined ? {} : { useReaders })));
    const sizeBytes = await reader.drain();
    await named(path, async () => checkLayout(inspection.table, sizeBytes));
    const fileSha256 = fileHash.digest('hex');
    checkHash(path, expectedHash, otherHash?.digest('hex') ?? fileSha256);
    const { usedBlocks, sectorBytes, ...identity } = inspection;
    if (sectorBytes !== imageSectorBytes) {
      throw new MigrateError(
        'unsupported',
        `${path} is for disks with sectors of ${sectorBytes} bytes; get the image for common disks, of ${imageSectorBytes}`,
        { data: { path } },
      );
    }
    return {
      path,
      compression,
      fileBytes,
      fileSha256,
      sizeBytes,
      ...(usedBlocks === undefined
        ? {}
        : { usedBlocks: { ...usedBlocks, ranges: clipRanges(usedBlocks.ranges, sizeBytes) } }),
      chunkBytes,
      chunkSha256: chunks.digests(),
      ...identity,
    };
  } finally {
    await reader.close();
  }
}

/** Shows each byte of the file as progress. */
function progressOf(text: string, { sizeBytes: total }: ByteReader, emit: Emit): (bytes: Uint8Array) => void {
  let done = 0;
  return (bytes) => {
    done += bytes.length;
    emit({ kind: 'progress', text, done, total, unit: 'bytes' });
  };
}

/** Puts the ranges that were hashed, and will be written, in place of those that the image was found to use. */
function withRanges(facts: ImageFacts, { ranges }: UsedBlocks): ImageFacts {
  const found = facts.usedBlocks ?? { ranges: [], wholePartitions: [] };
  const written = clipRanges(ranges, facts.sizeBytes);
  // A block that is used and not written would keep what the old system left in it.
  const missing = firstUncovered(written, found.ranges);
  if (missing === undefined) return { ...facts, usedBlocks: { ...found, ranges: written } };
  throw new MigrateError(
    'wrong-image',
    `bytes ${missing.startByte} to ${missing.endByte} are used, but the used-block map leaves out some of them`,
  );
}

async function named<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.message.includes(path)) throw thrown;
    throw new MigrateError(thrown.code, `${path}: ${thrown.message}`, { cause: thrown, data: { path } });
  }
}

function checkHash(path: string, expected: ExpectedHash | undefined, found: string): void {
  if (expected === undefined || expected.digest === found) return;
  throw new MigrateError(
    'verify-mismatch',
    `the ${expected.algorithm} of ${path} is ${found}, not ${expected.digest}`,
    { data: { path } },
  );
}
