// What Windows tells and does in its own way, on top of the files that Node reaches everywhere.
import type { Host, Journal } from '@migrate/core';
import { MigrateError, pathBelow } from '@migrate/core';
import type { WindowsFacts } from './facts/windows-facts.ts';
import { payloadState } from './plan/payload-paths.ts';
import { restartScript } from './powershell/change-scripts.ts';
import { runPowerShell } from './powershell/run-powershell.ts';
import { findPayload } from './steps/payload-partition.ts';

/** The same machine as a Host of Windows; an administrator is what root is on Linux. */
export function windowsHost(host: Host, system: Pick<WindowsFacts, 'isAdministrator' | 'bootId'>): Host {
  return {
    ...host,
    system: 'windows',
    userId: system.isAdministrator ? 0 : -1,
    processes: { bootId: async () => system.bootId, isAlive },
    // biome-ignore lint/correctness/useYield: it has nothing to give
    unzstd: async function* () {
      throw new MigrateError('unsupported', 'this Node.js has no zstd: pack the image with gzip for Windows');
    },
    reboot: async () => {
      await runPowerShell(host, 'restart', {}, restartScript);
    },
  };
}

/** Signal 0 only asks (Node, process.kill); EPERM is the answer of a process of someone else. */
function isAlive(processId: number): boolean {
  try {
    process.kill(processId, 0);
    return true;
  } catch (thrown) {
    return thrown instanceof Error && 'code' in thrown && thrown.code === 'EPERM';
  }
}

/** The directory on the payload's partition in which stage 2 leaves word; undefined where the partition is not there. */
export async function resultDirectory(host: Host, { entries }: Journal): Promise<string | undefined> {
  for (const { step } of entries) {
    if (step.kind !== 'create-payload-partition') continue;
    try {
      return pathBelow((await findPayload(host, step.place)).accessPath, payloadState);
    } catch (thrown) {
      if (!(thrown instanceof MigrateError) || thrown.code !== 'not-found') throw thrown;
    }
  }
  return undefined;
}
