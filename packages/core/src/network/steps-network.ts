// Writes keyfiles of the old system's networks. They are read again when the step acts, since a plan holds no passwords.
import { createHash } from 'node:crypto';
import { MigrateError } from '../error.ts';
import type { StepHandlers, UndoableHandler } from '../execute/execute.ts';
import { refuseExisting } from '../execute/steps-files.ts';
import type { StepOf } from '../plan/plan.ts';
import { chooseProfiles } from './choose-profiles.ts';
import { collectNetworks } from './collect.ts';

const writeConnections: UndoableHandler<StepOf<'write-connections'>> = {
  describe: ({ files }) => `write network connections: ${files.map(({ description }) => description).join('; ')}`,
  prepare: async ({ files }, { host }) => {
    for (const { to } of files) await refuseExisting(host, to);
    return null;
  },
  apply: async ({ choice, files }, { host }) => {
    const { profiles } = chooseProfiles(await collectNetworks(host), choice);
    for (const { name, to, sha256 } of files) {
      const contents = Buffer.from(profiles.find((profile) => profile.name === name)?.keyfile.reveal() ?? '');
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

export const networkSteps: Pick<StepHandlers, 'write-connections'> = { 'write-connections': writeConnections };
