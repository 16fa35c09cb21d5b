import {
  type Assets,
  assetPath,
  bootManagerOf,
  type Config,
  checkFormerRun,
  type Emit,
  type Facts,
  type Finding,
  findFormerRun,
  type HostReader,
  inspect,
  makePlan,
  type Plan,
  readAssets,
  refuses,
  stateDirectory,
} from '@migrate/core';
import { proveImage } from '@migrate/image-tools';
import { bundleDirectory } from './bundle.ts';
import { devices } from './devices.ts';
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
  const { config, workDirectory, emit } = request;
  const facts = request.facts ?? (await inspectMachine(host, placesOf(config, workDirectory)));
  const assets: Assets = await readAssets(host, {
    config,
    workDirectory,
    bundleDirectory,
    readsNetworks: request.facts === undefined,
    proveImage: ({ writesUnused, ...image }) =>
      proveImage({ host, emit, ...image, ...(writesUnused ? {} : { usedBlocks: 'find' }) }),
  });
  const { plan, findings } = makePlan({ config, facts, assets, devices, toolVersion });
  const formerRun = request.facts === undefined ? await findFormerRun(host, stateDirectory) : { kind: 'none' as const };
  const all = [...checkFormerRun(formerRun), ...findings];
  return { facts, findings: all, ...(plan === undefined || refuses(all) ? {} : { plan }) };
}

/** The facts of this machine, with the boot files that the known boot managers ask for. */
export function inspectMachine(host: HostReader, places: readonly string[]): Promise<Facts> {
  return inspect(host, {
    places,
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
  return [stateDirectory, ...(image?.kind === 'dd' ? [assetPath(workDirectory, image.file)] : [])];
}
