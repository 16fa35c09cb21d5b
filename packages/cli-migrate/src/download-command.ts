import { resolve } from 'node:path';
import {
  type Config,
  type Emit,
  exitCodes,
  type Host,
  MigrateError,
  parseCloudAccess,
  renderJson,
  renderLines,
} from '@migrate/core';
import { type FetchedImage, fetchImage } from '@migrate/image-tools';
import { type CommonOptions, choiceOf, refuse } from './command-options.ts';
import { openHttp, readCloudAccess } from './connected.ts';
import { findConfig } from './find-config.ts';

export interface DownloadOptions extends CommonOptions {
  /** Instead of a configuration: this config.json, and the current or work directory. */
  readonly configJson?: string;
  readonly osVersion?: string;
}

/** Fetches the image that the configuration asks for, or one by options alone. */
export async function download(host: Host, options: DownloadOptions): Promise<number> {
  const emit = options.json ? renderJson(process.stderr) : renderLines(process.stderr);
  const fetched = await (options.configJson === undefined
    ? fetchConfigured(host, options, emit)
    : fetchNamed(host, { ...options, configJson: options.configJson }, emit));
  if (typeof fetched === 'number') return fetched;
  if (options.json) process.stdout.write(`${JSON.stringify(fetched, null, 2)}\n`);
  else
    process.stdout.write(`${fetched.path}: balenaOS ${fetched.version}${fetched.isNew ? '' : ', which was there'}\n`);
  return exitCodes.done;
}

async function fetchConfigured(host: Host, options: DownloadOptions, emit: Emit): Promise<FetchedImage | number> {
  const { config, findings, workDirectory } = await findConfig(host, choiceOf(options));
  if (config === undefined) return refuse(findings, options, exitCodes.usage);
  const { image } = config.balena;
  const version = options.osVersion ?? (image?.kind === 'download' ? image.version : undefined);
  if (version === undefined)
    throw new MigrateError('invalid-input', 'which version? Set balena.image.download.version, or use --os-version');
  return fetchFor(host, { config, workDirectory, version, emit });
}

export interface ConfiguredFetch {
  readonly config: Config;
  readonly workDirectory: string;
  readonly version: string;
  readonly emit: Emit;
}

/** Fetches an image into the work directory, for the device type and from the API of the configured config.json. */
export async function fetchFor(
  host: Host,
  { config, workDirectory, version, emit }: ConfiguredFetch,
): Promise<FetchedImage> {
  const access = await readCloudAccess(host, config, workDirectory);
  return fetchImage({ host, http: openHttp(access), access, version, directory: workDirectory, emit });
}

async function fetchNamed(
  host: Host,
  { configJson, osVersion: version = 'latest', workDir = '.' }: DownloadOptions & { configJson: string },
  emit: Emit,
): Promise<FetchedImage> {
  const text = await host.readText(configJson);
  if (text === undefined) throw new MigrateError('invalid-input', `${configJson} does not exist`);
  const access = parseCloudAccess(text, configJson);
  return fetchImage({ host, http: openHttp(access), access, version, directory: resolve(workDir), emit });
}
