// Makes a kit: everything that a machine needs to be migrated by one command, checked before it leaves the desk.
import { basename, dirname } from 'node:path';
import {
  type Architecture,
  type Emit,
  error,
  type Finding,
  type Host,
  type ImageFacts,
  MigrateError,
  refuses,
} from '@migrate/core';
import { gzipBlocks } from '../convert/gzip-blocks.ts';
import type { ImageFileFormat } from '../convert/write-image.ts';
import { bundleFiles } from './bundle-files.ts';
import { checkDeviceTypes, type KitFile, readConfigJson, readConnections } from './check-kit.ts';
import { type Bundle, findBundles } from './find-bundles.ts';
import { kitArchive } from './kit-archive.ts';
import { type KitEntry, kitEntries, makeParents, replaceable, sumsText, writeStream } from './kit-files.ts';
import {
  bundleNameOf,
  configJsonName,
  configName,
  connectionsName,
  imageNames,
  kitFormOf,
  kitNameOf,
  launcherName,
  sumsName,
} from './kit-layout.ts';
import { kitConfig, readSettings, type SettingsInput } from './kit-settings.ts';
import { launcher } from './launcher.ts';
import { openSourceImage, type SourceImage } from './source-image.ts';

export interface KitRequest {
  readonly host: Host;
  readonly emit: Emit;
  readonly signal?: AbortSignal | undefined;
  /** Absolute: a directory, or an archive where it ends in .tar, .tar.gz or .tgz. */
  readonly output: string;
  readonly imagePath: string;
  readonly configJsonPath: string;
  /** NetworkManager connection files. */
  readonly connectionPaths: readonly string[];
  /** What all must be for; left out: what config.json says. */
  readonly deviceType?: string | undefined;
  readonly settings: SettingsInput;
  /** Bundles that the user names; empty: they are looked for in `bundlePlaces`. */
  readonly bundlePaths: readonly string[];
  readonly bundlePlaces: readonly string[];
  /** Device types that can be migrated, each with what its old system may run. */
  readonly supported: ReadonlyMap<string, readonly Architecture[]>;
  readonly imageFormat: ImageFileFormat;
  /** 1 to 9 for gzip, 1 to 19 for zstd. */
  readonly level?: number | undefined;
}

export interface Kit {
  /** As asked for. */
  readonly output: string;
  readonly deviceType: string;
  readonly architectures: readonly Architecture[];
  readonly image: { readonly name: string; readonly innerPath?: string; readonly facts: ImageFacts };
  /** All files but SHA256SUMS. */
  readonly files: readonly KitEntry[];
}

/** `kit` is present if and only if no finding is an error. */
export interface KitResult {
  readonly findings: readonly Finding[];
  readonly kit?: Kit;
}

interface Inputs {
  readonly image: SourceImage;
  readonly configJson: Uint8Array;
  readonly connections: readonly KitFile[];
  readonly bundles: readonly Bundle[];
  readonly settings: ReturnType<typeof readSettings>['settings'];
  readonly deviceType: string;
}

/**
 * Checks everything, then writes the kit under a name of its own beside `output`, and gives it its name when it is complete.
 * Whatever fails leaves `output` as it was. Files with secrets, and an archive of them, are readable for their owner only.
 * Throws `unsupported` where `output` is something that must not be replaced, `not-found` where there is no directory for it,
 * `no-space`, `write-failed`, `cancelled`.
 */
export async function makeKit(request: KitRequest): Promise<KitResult> {
  const { host, output } = request;
  if ((await host.status(dirname(output)))?.kind !== 'directory')
    throw new MigrateError('not-found', `${dirname(output)} is no directory to make a kit in`);
  await replaceable(host, output, kitFormOf(output) !== 'directory');
  const { inputs, findings, close } = await readInputs(request);
  try {
    if (inputs === undefined) return { findings };
    return { findings, kit: await writeKit(request, inputs) };
  } finally {
    await close();
  }
}

async function readInputs(request: KitRequest) {
  const { host, supported } = request;
  const configJson = await readConfigJson(host, request.configJsonPath);
  const connections = await readConnections(host, request.connectionPaths);
  const settings = readSettings(request.settings);
  const findings: Finding[] = [...configJson.findings, ...connections.findings, ...settings.findings];
  const image = await openImageOrFinding(request, findings);
  const types = { asked: request.deviceType, ofConfigJson: configJson.deviceType, ofImage: image?.deviceType };
  findings.push(...checkDeviceTypes(types, supported));
  const deviceType = types.asked ?? types.ofConfigJson ?? types.ofImage;
  const architectures = deviceType === undefined ? undefined : supported.get(deviceType);
  const search = { named: request.bundlePaths, places: request.bundlePlaces };
  const found = architectures === undefined ? undefined : await findBundles(host, { ...search, architectures });
  findings.push(...(found?.findings ?? []));
  const close = async (): Promise<void> => image?.close();
  if (refuses(findings) || image === undefined || found === undefined || deviceType === undefined)
    return { findings, close };
  const inputs: Inputs = {
    image,
    configJson: configJson.bytes,
    connections: connections.connections,
    bundles: found.bundles,
    settings: settings.settings,
    deviceType,
  };
  return { inputs, findings, close };
}

async function openImageOrFinding(request: KitRequest, findings: Finding[]): Promise<SourceImage | undefined> {
  const { host, emit, signal, imagePath: path, output } = request;
  try {
    return await openSourceImage({ host, emit, signal, path, scratchDirectory: dirname(output) });
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code === 'cancelled' || thrown.code === 'no-space') throw thrown;
    const hint = 'Download the image again, or correct its path';
    findings.push(error(`image-${thrown.code}`, path, thrown.message, hint));
    return undefined;
  }
}

async function writeKit(request: KitRequest, inputs: Inputs): Promise<Kit> {
  const { host, output, signal, emit } = request;
  const form = kitFormOf(output);
  const staging = `${dirname(output)}/.${basename(output)}.migrate-part.d`;
  await removeTree(host, staging);
  await host.makeDirectory(staging, 0o755);
  try {
    const image = await fill(request, inputs, staging);
    emit({ kind: 'note', level: 'info', text: 'making the checksums' });
    const files = await kitEntries(host, staging, signal);
    const sums = new TextEncoder().encode(sumsText(files));
    await host.writeDurable(`${staging}/${sumsName}`, sums, { mode: 0o644 });
    if (form === 'directory') await takeItsPlace(host, staging, output);
    else {
      const entries = [...files, { path: sumsName, mode: 0o644, sizeBytes: sums.length }];
      const tar = kitArchive({ host, root: staging, name: kitNameOf(output), entries, signal });
      // The image is packed already; what remains is the runtime.
      const contents = form === 'tar' ? tar : gzipBlocks(tar, { level: 1 });
      await writeStream(host, output, { contents, mode: 0o600 });
    }
    const architectures = inputs.bundles.map(({ architecture }) => architecture);
    return { output, deviceType: inputs.deviceType, architectures, image, files };
  } finally {
    await removeTree(host, staging);
  }
}

/** Writes everything but the checksums. */
async function fill(
  { host, emit, imageFormat, level }: KitRequest,
  { image, configJson, connections, bundles, settings }: Inputs,
  root: string,
): Promise<Kit['image']> {
  const name = imageNames[imageFormat];
  if (image.innerPath !== undefined)
    emit({ kind: 'note', level: 'info', text: `it is a flasher image; ${image.innerPath} inside of it is taken` });
  const written = await image.write({ path: `${root}/${name}`, format: imageFormat, level });
  for (const bundle of bundles) await placeBundle(host, bundle, root);
  await host.writeDurable(`${root}/${configJsonName}`, configJson, { mode: 0o600 });
  for (const connection of connections) {
    await makeParents(host, root, `${connectionsName}/${connection.name}`);
    await host.writeDurable(`${root}/${connectionsName}/${connection.name}`, connection.bytes, { mode: 0o600 });
  }
  const config = kitConfig(settings, {
    imageName: name,
    imageHash: written.hash,
    configJson,
    connections: connections.map((connection) => connection.name),
  });
  await host.writeDurable(`${root}/${configName}`, new TextEncoder().encode(config), { mode: 0o644 });
  await host.writeDurable(`${root}/${launcherName}`, new TextEncoder().encode(launcher), { mode: 0o755 });
  return { name, facts: written.facts, ...(image.innerPath === undefined ? {} : { innerPath: image.innerPath }) };
}

async function placeBundle(host: Host, { path, architecture }: Bundle, root: string): Promise<void> {
  const name = bundleNameOf(architecture);
  if (name === undefined) throw new Error(`a bundle for ${architecture} got into a kit`);
  for await (const file of bundleFiles(host, path)) {
    const target = `${name}/${file.path}`;
    await makeParents(host, root, target);
    await writeStream(host, `${root}/${target}`, {
      contents: file.contents(),
      mode: file.isExecutable ? 0o755 : 0o644,
    });
  }
}

/** Puts the finished directory under its name; an older kit is out of the way only for a moment, and then removed. */
async function takeItsPlace(host: Host, staging: string, output: string): Promise<void> {
  const former = `${dirname(output)}/.${basename(output)}.migrate-former.d`;
  await removeTree(host, former);
  const isThere = (await replaceable(host, output, false)) === 'overwrites';
  if (isThere) await host.rename(output, former);
  await host.rename(staging, output);
  await removeTree(host, former);
}

async function removeTree(host: Host, path: string): Promise<void> {
  await host.run('rm', ['-rf', '--one-file-system', '--', path], { timeoutMs: 600_000 });
}
