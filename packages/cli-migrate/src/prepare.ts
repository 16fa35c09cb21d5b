import {
  type Assets,
  assetPath,
  bootManagerOf,
  type Config,
  checkCloud,
  checkFormerRun,
  type Emit,
  type Facts,
  type FileReference,
  type Finding,
  findFormerRun,
  type HostReader,
  inspect,
  makePlan,
  type Plan,
  readAssets,
  refuses,
  stateDirectory,
  targetDisk,
} from '@migrate/core';
import { measureBackup, proveArchives, proveImage } from '@migrate/image-tools';
import { bundleDirectory } from './bundle.ts';
import { findCloudAccess, openHttp, useFetchedImage } from './connected.ts';
import { devices } from './devices.ts';
import { planWithRoom } from './plan-with-room.ts';
import { toolVersion } from './version.ts';

export interface Preparation {
  readonly facts: Facts;
  readonly findings: readonly Finding[];
  /** Present if and only if nothing refuses. */
  readonly plan?: Plan;
}

export interface PreparationRequest {
  readonly config: Config;
  readonly workDirectory: string;
  readonly emit: Emit;
  /** A captured machine to plan for, instead of this one. */
  readonly facts?: Facts;
}

/** Reads everything and decides everything. Typed with HostReader: it can change nothing. */
export async function prepare(host: HostReader, request: PreparationRequest): Promise<Preparation> {
  const { workDirectory, emit } = request;
  const { access, findings: unusable } = await findCloudAccess(host, request.config, workDirectory);
  const { config, findings: fetched } = await useFetchedImage(host, request.config, { workDirectory, access });
  // While the image is read: neither waits for the other.
  const cloud =
    request.facts === undefined && access !== undefined ? checkCloud(openHttp(access), access, config.balena) : [];
  const facts =
    request.facts ?? (await inspectMachine(host, placesOf(config, workDirectory), kernelOf(config, workDirectory)));
  const assets: Assets = await readAssets(host, {
    config,
    workDirectory,
    bundleDirectory,
    readsMachine: request.facts === undefined,
    hostname: facts.hostname,
    proveImage: ({ writesUnused, ...image }) =>
      proveImage({ host, emit, ...image, ...(writesUnused ? {} : { usedBlocks: 'find' }) }),
    proveArchives: async (setting) => {
      const disk = targetDisk(facts, config.migrate.forceFlashDevice);
      if (!('partitions' in disk)) return undefined;
      return proveArchives({
        host,
        emit,
        setting,
        disk: { sizeBytes: disk.sizeBytes, sectorBytes: disk.logicalSectorSize },
      });
    },
  });
  const { plan, findings } = await planWithRoom(assets, {
    plan: (read) => makePlan({ config, facts, assets: read, devices, toolVersion }),
    measure: () => measureBackup(host, { volumes: assets.backup?.volumes ?? [], leaveOut: [stateDirectory], emit }),
  });
  const formerRun = request.facts === undefined ? await findFormerRun(host, stateDirectory) : { kind: 'none' as const };
  const all = [...checkFormerRun(formerRun), ...unusable, ...fetched, ...(await cloud), ...findings];
  return { facts, findings: all, ...(plan === undefined || refuses(all) ? {} : { plan }) };
}

/** The facts of this machine, with the boot files that the known boot managers ask for. */
export function inspectMachine(host: HostReader, places: readonly string[], askedKernel?: string): Promise<Facts> {
  return inspect(host, {
    places,
    askedKernel,
    bootAreas: (facts) =>
      devices.flatMap((device) => device.bootManagers.flatMap((manager) => manager.bootAreas?.(facts) ?? [])),
    bootListing: (facts) =>
      devices.flatMap((device) => device.bootManagers.flatMap((manager) => manager.bootListing?.(facts) ?? [])),
    bootFiles: (facts) =>
      devices.flatMap((device) => device.bootManagers.flatMap((manager) => manager.bootFiles(facts))),
    bootPlaces: (facts) => {
      const device = devices.find((candidate) => candidate.matches(facts));
      const manager = device === undefined ? undefined : bootManagerOf(device, facts);
      return manager === undefined ? [] : [manager.bootDirectory(facts)];
    },
  });
}

function placesOf(config: Config, workDirectory: string): string[] {
  const { image } = config.balena;
  return [stateDirectory, ...filesOfSetting(image).map((file) => assetPath(workDirectory, file))];
}

function kernelOf({ migrate }: Config, workDirectory: string): string | undefined {
  return migrate.kernel === undefined ? undefined : assetPath(workDirectory, migrate.kernel);
}

function filesOfSetting(image: Config['balena']['image']): readonly FileReference[] {
  if (image?.kind === 'dd') return [image.file];
  return image?.kind === 'fs' ? Object.values(image.partitions).map(({ archive }) => archive) : [];
}
