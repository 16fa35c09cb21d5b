// Keyfiles of Windows' networks. They are read again when the step acts, since a plan holds no passwords.
import { createHash } from 'node:crypto';
import { chosenContents, MigrateError, networkSteps, type StepContext, type StepOf } from '@migrate/core';
import { createWindowsReader } from '../facts/inspect-windows.ts';
import { collectWindowsNetworks } from '../network/collect-windows-networks.ts';

export const writeWindowsConnections = {
  describe: networkSteps['write-connections'].describe,
  apply: async ({ choice, files }: StepOf<'write-connections'>, { host }: StepContext): Promise<void> => {
    const contentsOf = chosenContents(await collectWindowsNetworks(createWindowsReader(host)), choice);
    for (const { name, to, sha256 } of files) {
      const contents = Buffer.from(contentsOf.get(name)?.reveal() ?? '');
      if (createHash('sha256').update(contents).digest('hex') !== sha256)
        throw new MigrateError('busy', "Windows' networks have changed since the plan was made: run migrate again");
      await host.writeDurable(to, contents, { mode: 0o600 });
    }
  },
};
