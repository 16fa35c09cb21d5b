// The image of a kit: looked at before anything is written, then written in the form that the device works with.
import { type ByteReader, type Emit, type Host, type ImageFacts, MigrateError } from '@migrate/core';
import { convertImage } from '../convert/convert-image.ts';
import { readerStream } from '../convert/reader-stream.ts';
import { type ImageFile, type ImageFileFormat, writeImage } from '../convert/write-image.ts';
import { openInnerImage } from '../flasher/inner-image.ts';
import { inspectForward } from '../inspect/inspect-forward.ts';
import type { Inspection } from '../inspect/inspect-image.ts';
import { makeUsedMap } from '../map/make-used-map.ts';
import { openImage } from '../open/open-image.ts';

export interface SourceImageRequest {
  readonly host: Host;
  readonly emit: Emit;
  readonly signal?: AbortSignal | undefined;
  readonly path: string;
  /** For what has to be unpacked. */
  readonly scratchDirectory: string;
}

/** An image that can be flashed, or the one inside of a flasher image. */
export interface SourceImage {
  readonly inspection: Inspection;
  /** By the image itself, else by the flasher image around it. */
  readonly deviceType?: string;
  /** Where it lies in a flasher image. */
  readonly innerPath?: string;
  write(target: ImageTarget): Promise<WrittenImage>;
  close(): Promise<void>;
}

export interface ImageTarget {
  readonly path: string;
  readonly format: ImageFileFormat;
  readonly level?: number | undefined;
}

export interface WrittenImage extends ImageFile {
  /** What proving the written file has found. */
  readonly facts: ImageFacts;
}

/** Opens an image in any container. Throws `wrong-image` for what is no image of balenaOS, else as openImage does. */
export async function openSourceImage(request: SourceImageRequest): Promise<SourceImage> {
  const { host, emit, signal, path } = request;
  const opened = await openImage(host, path, { emit, ...(signal === undefined ? {} : { signal }) });
  let spilled: ByteReader | undefined;
  const close = async (): Promise<void> => {
    await spilled?.close();
    await opened.close();
  };
  try {
    const inspection = await inspectForward(opened);
    if (inspection.kind === 'unknown') throw new MigrateError('wrong-image', `${path} is no image of balenaOS`);
    const toEnd = (written: ImageFile): Promise<WrittenImage> => proven(request, written);
    if (inspection.kind === 'balena-raw') {
      const write = async (target: ImageTarget) =>
        toEnd(await convertImage({ image: opened, host, signal, ...target }));
      return { inspection, ...typeOf(inspection.deviceType), write, close };
    }
    spilled = await opened.spill(request.scratchDirectory);
    const inner = await openInnerImage(spilled, inspection);
    const { sizeBytes } = inner.reader;
    const onPosition = (done: number): void =>
      emit({ kind: 'progress', text: 'writing the image', done, total: sizeBytes, unit: 'bytes' });
    const write = async (target: ImageTarget) => {
      const stream = readerStream(inner.reader, onPosition);
      return toEnd(await writeImage({ stream, imageBytes: sizeBytes, host, signal, ...target }));
    };
    const deviceType = typeOf(inner.inspection.deviceType ?? inspection.deviceType);
    return { inspection: inner.inspection, innerPath: inner.path, ...deviceType, write, close };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}

/** Reads what was written to its end, and leaves the map of used blocks beside it, so that the device need not look for them. */
async function proven({ host, emit }: SourceImageRequest, written: ImageFile): Promise<WrittenImage> {
  const facts = await makeUsedMap(host, written.path, emit);
  if (facts.fileSha256 !== written.hash.digest)
    throw new MigrateError('verify-mismatch', `${written.path} reads other than it was written`);
  return { ...written, facts };
}

function typeOf(deviceType: string | undefined): { readonly deviceType?: string } {
  return deviceType === undefined ? {} : { deviceType };
}
