// The image of a version of balenaOS, from the API to a file that can be flashed.
import {
  type ApiContext,
  type CloudAccess,
  chooseOsVersion,
  type DownloadLimits,
  downloadFile,
  type Emit,
  type Host,
  type HostReader,
  type Http,
  imageAddress,
  isFlasherType,
  listOsVersions,
  MigrateError,
} from '@migrate/core';
import { convertImage } from '../convert/convert-image.ts';
import { readerStream } from '../convert/reader-stream.ts';
import { writeImage } from '../convert/write-image.ts';
import { proveImage } from '../flash/prove-image.ts';
import { openInnerImage } from '../flasher/inner-image.ts';
import { inspectForward } from '../inspect/inspect-forward.ts';
import type { Inspection } from '../inspect/inspect-image.ts';
import { type OpenedImage, type OpenImageOptions, openImage } from '../open/open-image.ts';

export interface FetchImageRequest {
  readonly host: Host;
  readonly http: Http;
  readonly access: CloudAccess;
  /** See chooseOsVersion. */
  readonly version: string;
  /** Where the image goes. */
  readonly directory: string;
  readonly emit: Emit;
  readonly signal?: AbortSignal;
  readonly limits?: Partial<DownloadLimits>;
}

export interface FetchedImage {
  readonly path: string;
  /** `raw_version` of the release. */
  readonly version: string;
  /** False where it lay there already. */
  readonly isNew: boolean;
}

/** Name of an image as balena's dashboard gives it. */
function imageName(deviceType: string, version: string): string {
  return `balena-cloud-${deviceType}-${version}.img.gz`;
}

/**
 * Fetches the image that `version` asks for, for the device type of config.json: resolved, downloaded, proven to its last byte, and of
 * a flasher image the one inside. It appears under its name only then; what a cut left is continued. Throws `not-found` for a version
 * or device type that the API does not have, and what downloadFile and proveImage throw.
 */
export async function fetchImage(request: FetchImageRequest): Promise<FetchedImage> {
  const { host, access, directory, emit } = request;
  const { deviceType } = access;
  const context = contextOf(request);
  const available = await listOsVersions(context, deviceType);
  const version = chooseOsVersion(request.version, available);
  if (version === undefined) {
    const newest = chooseOsVersion('latest', available);
    const known = newest === undefined ? 'none' : `${available.length}, the newest is ${newest}`;
    throw new MigrateError(
      'not-found',
      `${access.apiEndpoint} has no balenaOS ${request.version} for ${deviceType}; released versions: ${known}`,
    );
  }
  const path = `${directory}/${imageName(deviceType, version)}`;
  if ((await host.status(path))?.kind === 'file') return { path, version, isNew: false };
  const wantsRaw = await isFlasherType(context, deviceType);
  emit({
    kind: 'note',
    level: 'info',
    text: `balenaOS ${version} for ${deviceType} is fetched from ${access.apiEndpoint}`,
  });
  await download(request, { path, version, wantsRaw });
  return { path, version, isNew: true };
}

/** The newest image that `fetchImage` has put into `directory` and that `version` asks for. */
export async function findFetchedImage(
  host: HostReader,
  { directory, deviceType, version }: { directory: string; deviceType: string; version: string },
): Promise<string | undefined> {
  const [before = '', after = ''] = imageName(deviceType, '\n').split('\n');
  const versions = (await host.list(directory))
    .filter((name) => name.startsWith(before) && name.endsWith(after))
    .map((name) => name.slice(before.length, name.length - after.length));
  const chosen = chooseOsVersion(version, versions);
  return chosen === undefined ? undefined : `${directory}/${imageName(deviceType, chosen)}`;
}

function contextOf({ http, access, signal, limits }: FetchImageRequest): ApiContext {
  const firstRetryMs = limits?.firstRetryMs;
  return {
    http,
    access,
    ...(signal === undefined ? {} : { signal }),
    ...(firstRetryMs === undefined ? {} : { firstRetryMs }),
  };
}

interface Wish {
  readonly path: string;
  readonly version: string;
  readonly wantsRaw: boolean;
}

async function download(request: FetchImageRequest, { path, version, wantsRaw }: Wish): Promise<void> {
  const { access, directory, emit } = request;
  const { apiEndpoint, deviceType, key: bearer } = access;
  const name = imageName(deviceType, version);
  const url = imageAddress(apiEndpoint, { deviceType, version, wantsRaw });
  const common = {
    ...request,
    source: url,
    name,
    partialDirectory: `${directory}/${name}.partial`,
    finish: (partial: string) => putInPlace(request, { partial, path }),
  };
  try {
    await downloadFile({ ...common, request: { method: 'GET', url, bearer } });
  } catch (thrown) {
    const status = thrown instanceof MigrateError ? thrown.data.status : undefined;
    if (status !== 404 && status !== 405) throw thrown;
    // An API that only knows the other way, which cannot be continued after a cut.
    const text = `the API answers ${status} to GET /download and is asked by POST, which starts over after each cut`;
    emit({ kind: 'note', level: 'warn', text });
    const body = Object.fromEntries(new URL(url).searchParams);
    await downloadFile({
      ...common,
      request: {
        method: 'POST',
        url: `${apiEndpoint}/download`,
        bearer,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
      },
    });
  }
}

/** Proves what was downloaded and gives it its name, or makes the file of that name out of it. */
async function putInPlace(
  { host, directory, emit, signal }: FetchImageRequest,
  { partial, path }: { partial: string; path: string },
): Promise<void> {
  const opened = await openDownloaded(host, partial, { emit, ...(signal === undefined ? {} : { signal }) });
  try {
    const inspection = await inspectForward(opened);
    if (inspection.kind === 'unknown')
      throw new MigrateError('wrong-image', 'what the API sends is no image of balenaOS');
    if (inspection.kind === 'balena-flasher')
      return await writeInner({ opened, inspection, host, path, directory, emit, signal });
    if (opened.container !== 'gzip') {
      await convertImage({ host, image: opened, path, signal });
      return;
    }
  } finally {
    await opened.close();
  }
  await proveImage({ host, path: partial, emit });
  await host.setAttributes(partial, { mode: 0o644 });
  await host.rename(partial, path);
}

/** As openImage. What is no image at all is the page of a server in between, and worth being asked for again. */
async function openDownloaded(host: Host, path: string, options: OpenImageOptions): Promise<OpenedImage> {
  try {
    return await openImage(host, path, options);
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code !== 'unsupported') throw thrown;
    throw new MigrateError('wrong-image', `what the API sends is no image: ${thrown.message}`, { cause: thrown });
  }
}

interface Flasher extends Pick<FetchImageRequest, 'host' | 'directory' | 'emit'> {
  readonly opened: OpenedImage;
  readonly inspection: Inspection;
  readonly path: string;
  readonly signal: AbortSignal | undefined;
}

/** Writes the inner image of a flasher image, which is unpacked into a file without a name. */
async function writeInner({ opened, inspection, host, path, directory, emit, signal }: Flasher): Promise<void> {
  const flasher = await opened.spill(directory);
  try {
    const { reader, path: innerPath } = await openInnerImage(flasher, inspection);
    emit({ kind: 'note', level: 'info', text: `it is a flasher image; ${innerPath} inside of it is taken` });
    const progress = (done: number): void =>
      emit({ kind: 'progress', text: 'writing the image', done, total: reader.sizeBytes, unit: 'bytes' });
    const stream = readerStream(reader, progress);
    await writeImage({ host, path, format: 'gzip', stream, imageBytes: reader.sizeBytes, signal });
  } finally {
    await flasher.close();
  }
}
