// What an agent needs of the configuration, read and checked.
import { resolve } from 'node:path';
import {
  type AgentIdentity,
  type AgentSetting,
  type AgentSource,
  type CloudAccess,
  type Config,
  type Finding,
  type Host,
  MigrateError,
  Secret,
} from '@migrate/core';
import { type CommonOptions, choiceOf } from './command-options.ts';
import { findCloudAccess } from './connected.ts';
import { findConfig } from './find-config.ts';

export interface AgentSetup {
  readonly config: Config;
  /** Absolute. */
  readonly configPath: string;
  readonly workDirectory: string;
  readonly setting: AgentSetting;
  readonly source: AgentSource;
  readonly identity: AgentIdentity;
  readonly access?: CloudAccess;
  readonly token?: Secret;
}

/** Throws `invalid-input` for a configuration that an agent cannot work by. */
export async function readAgentSetup(host: Host, options: CommonOptions): Promise<AgentSetup> {
  const { config, findings, workDirectory, path } = await findConfig(host, choiceOf(options));
  if (config === undefined) throw new MigrateError('invalid-input', faultOf(findings));
  const setting = config.agent;
  const [source, ...others] = setting?.sources ?? [];
  if (setting === undefined || source === undefined || others.length > 0)
    throw new MigrateError('invalid-input', `${path}: set one of agent.watch, agent.url and agent.device_variables`);
  const { access } = await findCloudAccess(host, config, workDirectory);
  if (source.kind === 'device-variables' && access?.uuid === undefined)
    throw new MigrateError('invalid-input', 'agent.device_variables takes a config.json with uuid and deviceApiKey');
  const device = setting.device ?? access?.uuid ?? (await host.readText('/etc/machine-id'))?.trim() ?? '';
  if (device === '') throw new MigrateError('invalid-input', 'this machine has no /etc/machine-id: set agent.device');
  const token = await readToken(host, setting, workDirectory);
  return {
    config,
    configPath: path,
    workDirectory,
    setting,
    source,
    identity: { device, requiresPlan: setting.requiresPlan },
    ...(access === undefined ? {} : { access }),
    ...(token === undefined ? {} : { token }),
  };
}

function faultOf(findings: readonly Finding[]): string {
  const [first] = findings;
  return first === undefined ? 'the configuration is not valid' : `${first.where}: ${first.message}`;
}

async function readToken(host: Host, { tokenFile }: AgentSetting, workDirectory: string): Promise<Secret | undefined> {
  if (tokenFile === undefined) return undefined;
  const path = resolve(workDirectory, tokenFile);
  const token = (await host.readText(path))?.trim();
  if (token !== undefined && /^[\x21-\x7e]+$/.test(token)) return new Secret(token);
  throw new MigrateError('invalid-input', `agent.token_file: ${path} does not hold a token on one line`);
}
