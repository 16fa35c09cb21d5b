import { createHash } from 'node:crypto';
import { basename, resolve } from 'node:path';
import { checkRequest, requestedVolumes } from '../backup/backup-request.ts';
import { type BackupSurvey, surveyBackup } from '../backup/survey-backup.ts';
import type {
  Config,
  ExpectedHash,
  FileReference,
  FsImageSetting,
  PartitionArchive,
  PartitionName,
} from '../config/config.ts';
import { quoted } from '../config/quoted.ts';
import { MigrateError } from '../error.ts';
import type { HostReader } from '../host/host.ts';
import { architectureOfElf } from '../machine/kernel.ts';
import { chooseProfiles, networkChoice } from '../network/choose-profiles.ts';
import { chooseProxy } from '../network/choose-proxy.ts';
import { collectNetworks, type NetworkSources } from '../network/collect.ts';
import { error, warning } from '../plan/check-machine.ts';
import type { Finding } from '../plan/finding.ts';
import { stateDirectory } from '../plan/state-directory.ts';
import type { Secret } from '../secret.ts';
import type { AssetFile } from './asset-file.ts';
import type { Assets, ConnectionAsset, MadeFile, MigratedNetworks, RuntimeAsset } from './assets.ts';
import { sameConnectionNames, textAsIs } from './boot-files.ts';
import { parseConfigJson } from './config-json.ts';
import { chooseHostname, withHostname } from './config-json-hostname.ts';
import { parseConnectionFile } from './connection-file.ts';
import { type ArchivesFacts, type ImageFacts, partitionNames, type TargetImage } from './image.ts';

export interface AssetSources {
  readonly config: Config;
  /** Absolute work directory. */
  readonly workDirectory: string;
  /** Directory of the unpacked bundle (runtime/ and app/). */
  readonly bundleDirectory: string;
  /** False where another machine is planned for, whose networks and files are not at hand. */
  readonly readsMachine: boolean;
  readonly hostname: string;
  /** Reads a whole image and proves it; throws MigrateError for one that is not sound. */
  readonly proveImage: (request: ImageRequest) => Promise<ImageFacts>;
  /** Reads archives to their ends and proves that they fit; undefined where the target disk is not known. */
  readonly proveArchives: (setting: FsImageSetting) => Promise<ArchivesFacts | undefined>;
}

export interface ImageRequest {
  readonly path: string;
  readonly expectedHash?: ExpectedHash;
  /** Whether everything is written, so that nobody needs to know which blocks are used. */
  readonly writesUnused: boolean;
}

/** Files of the bundle that must be there for stage 2. */
const requiredRuntimeFiles = ['runtime/node', 'runtime/busybox', 'app/stage2.js', 'app/init'];

/** Absolute path of a file that the configuration names. */
export function assetPath(workDirectory: string, reference: FileReference): string {
  return resolve(workDirectory, reference.path);
}

/** Reads and checks every file that a migration takes along; what is missing or broken becomes a finding. */
export async function readAssets(host: HostReader, sources: AssetSources): Promise<Assets> {
  const findings: Finding[] = [];
  const { config, workDirectory } = sources;
  const image = await orFinding(findings, () => readImage(host, sources));
  const configJson = await orFinding(findings, () => readConfigJson(host, sources, findings));
  const connections: ConnectionAsset[] = [];
  for (const path of config.migrate.networkFiles) {
    const connection = await orFinding(findings, () => readConnection(host, resolve(workDirectory, path), findings));
    if (connection !== undefined) connections.push(connection);
  }
  findings.push(...sameConnectionNames(connections, 'migrate.nwmgr_files'));
  const runtime = await orFinding(findings, () => readRuntime(host, sources.bundleDirectory));
  await orFinding(findings, () => checkKernelHash(host, sources));
  const networks = sources.readsMachine ? migratedNetworks(await collectNetworks(host), config) : undefined;
  const backup = await orFinding(findings, () => readBackup(host, sources, findings));
  return {
    connections,
    findings,
    ...(networks === undefined ? {} : { networks }),
    ...(backup === undefined ? {} : { backup }),
    ...(image === undefined ? {} : { image }),
    ...(configJson === undefined ? {} : { configJson }),
    ...(runtime === undefined ? {} : { runtime }),
  };
}

async function orFinding<T>(findings: Finding[], read: () => Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await read();
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    const where = typeof thrown.data.path === 'string' ? thrown.data.path : 'files';
    findings.push(error(`asset-${thrown.code}`, where, thrown.message, hintFor(thrown)));
    return undefined;
  }
}

function hintFor({ code }: MigrateError): string {
  switch (code) {
    case 'not-found':
      return 'Correct the path; relative ones start in migrate.work_dir';
    case 'verify-mismatch':
      return 'Get the file again, or correct its hash in the configuration';
    case 'invalid-input':
    case 'wrong-image':
      return 'Get the file again from its source';
    default:
      return 'Make the file readable';
  }
}

async function readImage(
  host: HostReader,
  { config, workDirectory, proveImage, proveArchives }: AssetSources,
): Promise<TargetImage | undefined> {
  const setting = config.balena.image;
  // A download that is there already has become "dd" before.
  if (setting === undefined || setting.kind === 'download') return undefined;
  if (setting.kind === 'fs') return proveArchives(await withAbsolutePaths(host, setting, workDirectory));
  const path = await existing(host, assetPath(workDirectory, setting.file), 'balena.image.dd');
  const { file, writesUnused } = setting;
  return proveImage({ path, writesUnused, ...(file.hash === undefined ? {} : { expectedHash: file.hash }) });
}

async function withAbsolutePaths(
  host: HostReader,
  setting: FsImageSetting,
  workDirectory: string,
): Promise<FsImageSetting> {
  const partitions: Record<PartitionName, PartitionArchive> = { ...setting.partitions };
  for (const name of partitionNames) {
    const { archive } = setting.partitions[name];
    const path = await existing(host, assetPath(workDirectory, archive), 'balena.image.fs');
    partitions[name] = { ...setting.partitions[name], archive: { ...archive, path } };
  }
  return { ...setting, partitions };
}

async function readConfigJson(
  host: HostReader,
  { config, workDirectory, hostname }: AssetSources,
  findings: Finding[],
): Promise<Assets['configJson'] | undefined> {
  const reference = config.balena.config;
  if (reference === undefined) return undefined;
  const { file, text } = await readTextAsset(host, assetPath(workDirectory, reference), 'balena.config');
  if (reference.hash !== undefined) await checkHash(host, file.path, reference.hash);
  const parsed = parseConfigJson(text, file.path);
  findings.push(...parsed.findings);
  if (parsed.configJson === undefined) return undefined;
  const { deviceType, applicationName } = parsed.configJson;
  const choice = config.migrate.identity.hostname ? chooseHostname(hostname, text) : undefined;
  if (choice?.kind === 'leave' && !choice.isExpected) {
    const message = `its hostname ${quoted(hostname)} is not kept: ${choice.reason}`;
    findings.push(warning('hostname-left', 'hostname', message, 'Set hostname in config.json if it needs one'));
  }
  return {
    ...file,
    deviceType,
    ...(applicationName === undefined ? {} : { applicationName }),
    ...(choice?.kind === 'keep' ? { withHostname: sealed(text, choice.hostname) } : {}),
  };
}

function sealed(text: string, hostname: string): { hostname: string; sizeBytes: number; sha256: string } {
  const bytes = Buffer.from(withHostname(text, hostname));
  return { hostname, sizeBytes: bytes.length, sha256: sha256Of(bytes) };
}

function sha256Of(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function readBackup(
  host: HostReader,
  { config, workDirectory, readsMachine }: AssetSources,
  findings: Finding[],
): Promise<BackupSurvey | undefined> {
  const request = requestedVolumes(config, workDirectory);
  if (request.length === 0) return undefined;
  if (!readsMachine) {
    findings.push(
      ...checkRequest(request),
      warning(
        'backup-not-seen',
        'migrate.backup',
        'what it holds is decided on the machine itself',
        'Run migrate there',
      ),
    );
    return undefined;
  }
  const { survey, findings: found } = await surveyBackup(host, request, [stateDirectory]);
  findings.push(...found);
  return survey;
}

async function readConnection(host: HostReader, path: string, findings: Finding[]): Promise<ConnectionAsset> {
  const { file, text } = await readTextAsset(host, path, 'migrate.nwmgr_files');
  const name = basename(path);
  findings.push(...parseConnectionFile(name, text).findings);
  return { ...file, name };
}

/** What moves of a system's networks, without the passwords in them. */
export function migratedNetworks(sources: NetworkSources, config: Config): MigratedNetworks {
  const choice = networkChoice(config);
  const { profiles, notCarried, missing } = chooseProfiles(sources, choice);
  const proxy = choice.proxy ? chooseProxy(sources.proxies) : undefined;
  return {
    profiles: profiles.map(({ name, description, keyfile }) => madeFile({ name, description }, keyfile)),
    ...(proxy === undefined
      ? {}
      : {
          proxy: {
            files: proxy.files.map(({ name, description, contents }) => madeFile({ name, description }, contents)),
            notCarried: proxy.notCarried,
          },
        }),
    notCarried,
    missing,
  };
}

function madeFile(head: { readonly name: string; readonly description: string }, contents: Secret): MadeFile {
  const bytes = Buffer.from(contents.reveal());
  return { ...head, sizeBytes: bytes.length, sha256: sha256Of(bytes) };
}

async function readRuntime(host: HostReader, directory: string): Promise<RuntimeAsset> {
  for (const path of requiredRuntimeFiles) {
    if ((await host.status(`${directory}/${path}`))?.kind !== 'file') {
      throw new MigrateError('not-found', `this is not the complete bundle: ${directory}/${path} is missing`, {
        data: { path: directory },
      });
    }
  }
  const files: { path: string; sizeBytes: number; isExecutable: boolean }[] = [];
  for (const top of ['runtime', 'app']) await collect(host, directory, top, files);
  const architecture = await architectureOfElf(host, `${directory}/runtime/busybox`);
  return { directory, files, ...(architecture === 'unknown' ? {} : { architecture }) };
}

async function collect(
  host: HostReader,
  directory: string,
  path: string,
  files: { path: string; sizeBytes: number; isExecutable: boolean }[],
): Promise<void> {
  for (const name of await host.list(`${directory}/${path}`)) {
    const child = `${path}/${name}`;
    const status = await host.status(`${directory}/${child}`);
    if (status?.kind === 'directory') await collect(host, directory, child, files);
    // Stage 1 itself has nothing to do in stage 2.
    if (status?.kind === 'file' && child !== 'app/migrate.js') {
      files.push({ path: child, sizeBytes: status.sizeBytes, isExecutable: (status.mode & 0o111) !== 0 });
    }
  }
}

async function readTextAsset(
  host: HostReader,
  path: string,
  setting: string,
): Promise<{ file: AssetFile; text: string }> {
  const found = await existing(host, path, setting);
  const bytes = await host.readFile(found);
  return { file: { path: found, sizeBytes: bytes.length, sha256: sha256Of(bytes) }, text: textAsIs(bytes) };
}

async function existing(host: HostReader, path: string, setting: string): Promise<string> {
  const real = await host.realPath(path);
  if (real === undefined) throw new MigrateError('not-found', `${path} does not exist`, { data: { path: setting } });
  return real;
}

/** A kernel that is not there is not taken, which the plan says. */
async function checkKernelHash(host: HostReader, { config, workDirectory }: AssetSources): Promise<undefined> {
  const { kernel } = config.migrate;
  if (kernel?.hash === undefined) return;
  const path = assetPath(workDirectory, kernel);
  if ((await host.status(path))?.kind === 'file') await checkHash(host, path, kernel.hash);
}

async function checkHash(host: HostReader, path: string, { algorithm, digest }: ExpectedHash): Promise<void> {
  const found = createHash(algorithm)
    .update(await host.readFile(path))
    .digest('hex');
  if (found !== digest) {
    throw new MigrateError('verify-mismatch', `the ${algorithm} of ${path} is ${found}, not ${digest}`, {
      data: { path },
    });
  }
}
