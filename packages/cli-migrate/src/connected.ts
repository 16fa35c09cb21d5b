// What the configuration says of the cloud: config.json read for talking to it, and the image that it is to give.
import { resolve } from 'node:path';
import {
  type CloudAccess,
  type Config,
  createNodeHttp,
  type Finding,
  type HostReader,
  type Http,
  MigrateError,
  parseCloudAccess,
} from '@migrate/core';
import { findFetchedImage } from '@migrate/image-tools';

/** Opens the network for what one config.json trusts. */
export type OpenHttp = (access: CloudAccess) => Http;

export const openHttp: OpenHttp = ({ authority }) => createNodeHttp(authority === undefined ? {} : { authority });

/** What config.json says; throws `invalid-input` where there is none, or none that is sound. */
export async function readCloudAccess(host: HostReader, config: Config, workDirectory: string): Promise<CloudAccess> {
  const reference = config.balena.config;
  if (reference === undefined) {
    throw new MigrateError(
      'invalid-input',
      'balena.config is not set: config.json says which API to ask, and with which key',
    );
  }
  const path = resolve(workDirectory, reference.path);
  const text = await host.readText(path);
  if (text === undefined) throw new MigrateError('invalid-input', `balena.config: ${path} does not exist`);
  return parseCloudAccess(text, path);
}

/** As readCloudAccess, for where it can be done without. */
export async function findCloudAccess(
  host: HostReader,
  config: Config,
  workDirectory: string,
): Promise<{ access?: CloudAccess; findings: readonly Finding[] }> {
  try {
    return { access: await readCloudAccess(host, config, workDirectory), findings: [] };
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    // What else is wrong with config.json is found again, with all its faults, when it is read as an asset.
    if (thrown.code !== 'unsupported') return { findings: [] };
    const hint = "Download config.json again from the fleet's dashboard";
    return {
      findings: [
        { severity: 'error', code: 'config-json-value', where: 'balena.config', message: thrown.message, hint },
      ],
    };
  }
}

/** The configuration with an image that was fetched before in the place of `balena.image.download`. */
export async function useFetchedImage(
  host: HostReader,
  config: Config,
  { workDirectory, access }: { workDirectory: string; access: CloudAccess | undefined },
): Promise<{ config: Config; findings: readonly Finding[] }> {
  const { image } = config.balena;
  // Without a sound config.json there is a finding of its own.
  if (image?.kind !== 'download' || access === undefined) return { config, findings: [] };
  const { version, writesUnused } = image;
  const path = await findFetchedImage(host, { directory: workDirectory, deviceType: access.deviceType, version });
  if (path !== undefined) {
    const file = { kind: 'dd' as const, file: { path }, writesUnused };
    return { config: { ...config, balena: { ...config.balena, image: file } }, findings: [] };
  }
  const finding: Finding = {
    severity: 'error',
    code: 'image-not-fetched',
    where: 'balena.image.download',
    message: `no image of balenaOS ${version} for ${access.deviceType} lies in ${workDirectory}`,
    hint: 'Run "migrate download", or migrate with --mode connected',
  };
  return { config, findings: [finding] };
}
