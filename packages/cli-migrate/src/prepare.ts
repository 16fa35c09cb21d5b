import {
  type Assets,
  type Config,
  checkCloud,
  checkFormerRun,
  type Emit,
  type Facts,
  type Finding,
  type HostReader,
  type Plan,
  readAssets,
  refuses,
} from '@migrate/core';
import { measureBackup, proveArchives, proveImage } from '@migrate/image-tools';
import { bundleDirectory as ownBundleDirectory } from './bundle.ts';
import { findCloudAccess, openHttp, useFetchedImage } from './connected.ts';
import { planWithRoom } from './plan-with-room.ts';
import type { Platform, Survey, SurveyRequest } from './platform.ts';

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
  /** Left out: that of this program. */
  readonly bundleDirectory?: string;
  /** A captured machine to plan for, instead of this one. */
  readonly captured?: (request: SurveyRequest) => Promise<Survey>;
}

/** A platform with a host that can change nothing. */
export type ReadPlatform = Pick<Platform, 'survey' | 'findFormerRun' | 'stateDirectory'> & {
  readonly host: HostReader;
};

/** Reads everything and decides everything. Typed with HostReader: it can change nothing. */
export async function prepare(platform: ReadPlatform, request: PreparationRequest): Promise<Preparation> {
  const { workDirectory, emit, captured, bundleDirectory = ownBundleDirectory } = request;
  const { host } = platform;
  const { access, findings: unusable } = await findCloudAccess(host, request.config, workDirectory);
  const { config, findings: fetched } = await useFetchedImage(host, request.config, { workDirectory, access });
  // While the image is read: neither waits for the other.
  const cloud =
    captured === undefined && access !== undefined ? checkCloud(openHttp(access), access, config.balena) : [];
  const survey = await (captured ?? platform.survey)({ config, workDirectory, bundleDirectory });
  const { facts, target } = survey;
  const read: Assets = await readAssets(host, {
    config,
    workDirectory,
    bundleDirectory,
    readsMachine: survey.readsLinux,
    hostname: facts.hostname,
    proveImage: ({ writesUnused, ...image }) =>
      proveImage({ host, emit, ...image, ...(writesUnused ? {} : { usedBlocks: 'find' }) }),
    proveArchives: async (setting) =>
      target === undefined
        ? undefined
        : proveArchives({
            host,
            emit,
            setting,
            disk: { sizeBytes: target.sizeBytes, sectorBytes: target.logicalSectorSize },
          }),
  });
  const assets = await survey.complete(read);
  const { plan, findings } = await planWithRoom(assets, {
    plan: survey.plan,
    measure: () =>
      measureBackup(host, { volumes: assets.backup?.volumes ?? [], leaveOut: [platform.stateDirectory], emit }),
  });
  const formerRun = captured === undefined ? await platform.findFormerRun() : { kind: 'none' as const };
  const all = [...checkFormerRun(formerRun), ...unusable, ...fetched, ...(await cloud), ...findings];
  return { facts, findings: all, ...(plan === undefined || refuses(all) ? {} : { plan }) };
}
