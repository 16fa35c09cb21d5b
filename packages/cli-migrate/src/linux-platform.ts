import {
  assetPath,
  bootManagerOf,
  type Config,
  type Facts,
  type FileReference,
  findFormerRun,
  type Host,
  type HostReader,
  inspect,
  makePlan,
  stateDirectory,
  targetDisk,
} from '@migrate/core';
import { devices } from './devices.ts';
import type { Platform, Survey } from './platform.ts';
import { toolVersion } from './version.ts';

export function linuxPlatform(host: Host): Platform {
  return {
    host,
    stateDirectory,
    findFormerRun: () => findFormerRun(host, stateDirectory),
    resultDirectory: async () => stateDirectory,
    capture: () => inspectMachine(host, [stateDirectory]),
    survey: async ({ config, workDirectory }) => {
      const facts = await inspectMachine(host, placesOf(config, workDirectory), kernelOf(config, workDirectory));
      return linuxSurvey(facts, { config, readsLinux: true });
    },
  };
}

/** Of this machine's facts, or of captured ones. */
export function linuxSurvey(facts: Facts, { config, readsLinux }: { config: Config; readsLinux: boolean }): Survey {
  const disk = targetDisk(facts, config.migrate.forceFlashDevice);
  return {
    facts,
    target: 'partitions' in disk ? disk : undefined,
    readsLinux,
    complete: async (assets) => assets,
    plan: (assets) => makePlan({ config, facts, assets, devices, toolVersion }),
  };
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
