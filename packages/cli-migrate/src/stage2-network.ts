// Sends the log of stage 2 to the operator's server, where a wired network can be had. All of it happens beside the migration.
import {
  type Host,
  type LogServer,
  MigrateError,
  messageOf,
  type Plan,
  parseLogServer,
  printLogServer,
  type RemoteLog,
} from '@migrate/core';
import { sendLog } from './send-log.ts';
import type { Stage2Log } from './stage2-log.ts';
import { toolVersion } from './version.ts';

/** Where it lies when stage 2 was started from a lifeboat. */
const boardedAddress = '/migrate/payload/log-address';
const networkScript = '/migrate/network';
/** Longer than the script itself tries. */
const networkLimitMs = 60_000;

export interface Stage2Sender {
  /** Sends what is left, for at most `timeoutMs`. */
  close(timeoutMs: number): Promise<void>;
}

/** Reads the address and goes on by itself. `ramDirectory` keeps the address for a stage 2 that is started again. */
export async function sendStage2Log(
  host: Host,
  plan: Plan,
  { log, oldRoot, ramDirectory }: { log: Stage2Log; oldRoot: string; ramDirectory: string },
): Promise<Stage2Sender | undefined> {
  const { remoteLog } = plan;
  if (remoteLog === undefined) return undefined;
  let remote: RemoteLog | undefined;
  const say = (level: 'info' | 'warn', text: string): void => log.emit({ kind: 'note', level, text });
  const tellWhyNot = (thrown: unknown): void => say('warn', `the log of stage 2 is not sent: ${messageOf(thrown)}`);
  const start = async (server: LogServer): Promise<void> => {
    await bringUp(host, remoteLog.interfaces);
    const origin = { hostname: remoteLog.hostname, stage: 2, toolVersion, planId: plan.id } as const;
    remote = sendLog({ server, origin, say: (text) => say('warn', text) });
    if (remote === undefined) return;
    log.attach(remote.sink);
    say('info', 'the network is up, and the log is sent to the server');
  };
  try {
    const kept = `${ramDirectory}/log-address`;
    const paths = [kept, boardedAddress, `${oldRoot}${remoteLog.addressPathInFileSystem}`];
    const server = await readServer(host, paths);
    await host.writeDurable(kept, new TextEncoder().encode(printLogServer(server).reveal()), { mode: 0o600 });
    start(server).catch(tellWhyNot);
  } catch (thrown) {
    tellWhyNot(thrown);
  }
  return {
    close: async (timeoutMs) => {
      await remote?.close(timeoutMs);
    },
  };
}

async function readServer(host: Host, paths: readonly string[]): Promise<LogServer> {
  for (const path of paths) {
    const server = parseLogServer((await host.readText(path)) ?? '');
    if (server !== undefined) return server;
  }
  throw new MigrateError('not-found', 'the address of the server is not in the payload');
}

async function bringUp(host: Host, interfaces: readonly string[]): Promise<void> {
  const failures: string[] = [];
  for (const mac of interfaces) {
    try {
      await host.run(networkScript, [mac], { timeoutMs: networkLimitMs });
      return;
    } catch (thrown) {
      failures.push(messageOf(thrown));
    }
  }
  throw new MigrateError('not-found', `no wired interface got an address by DHCP: ${failures.join('; ')}`);
}
