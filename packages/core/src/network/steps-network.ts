// Writes keyfiles of the old system's networks, and what its proxy needs. They are read again when the step acts, since a plan holds no passwords.
import { createHash } from 'node:crypto';
import { MigrateError } from '../error.ts';
import type { StepHandlers, UndoableHandler } from '../execute/execute.ts';
import { refuseExisting } from '../execute/steps-files.ts';
import type { StepOf } from '../plan/plan.ts';
import type { Secret } from '../secret.ts';
import { chooseProfiles, type NetworkChoice } from './choose-profiles.ts';
import { chooseProxy } from './choose-proxy.ts';
import { collectNetworks, type NetworkSources } from './collect.ts';

const writeConnections: UndoableHandler<StepOf<'write-connections'>> = {
  describe: ({ files }) => `write network connections: ${files.map(({ description }) => description).join('; ')}`,
  prepare: async ({ files }, { host }) => {
    for (const { to } of files) await refuseExisting(host, to);
    return null;
  },
  apply: async ({ choice, files }, { host }) => {
    const contentsOf = chosenContents(await collectNetworks(host), choice);
    for (const { name, to, sha256 } of files) {
      const contents = Buffer.from(contentsOf.get(name)?.reveal() ?? '');
      if (createHash('sha256').update(contents).digest('hex') !== sha256) {
        throw new MigrateError(
          'busy',
          "this system's network configuration has changed since the plan was made: run migrate again",
        );
      }
      await host.writeDurable(to, contents, { mode: 0o600 });
    }
  },
  undo: async ({ files }, _saved, { host }) => {
    for (const { to } of files) await host.removeFile(to);
  },
};

/** Contents by file name. Names of connections all begin with "migrated-", so that none is the name of a file of the proxy. */
export function chosenContents(sources: NetworkSources, choice: NetworkChoice): ReadonlyMap<string, Secret> {
  const { profiles } = chooseProfiles(sources, choice);
  const proxyFiles = choice.proxy ? chooseProxy(sources.proxies).files : [];
  return new Map([
    ...profiles.map(({ name, keyfile }) => [name, keyfile] as const),
    ...proxyFiles.map(({ name, contents }) => [name, contents] as const),
  ]);
}

export const networkSteps: Pick<StepHandlers, 'write-connections'> = { 'write-connections': writeConnections };
