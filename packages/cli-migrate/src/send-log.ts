// The log on its way to the server that the operator named.
import {
  type Config,
  createEventLog,
  createRemoteLog,
  createRemoteSender,
  decodeAuthority,
  describeRemote,
  type Emit,
  type HostReader,
  type LogOrigin,
  type LogServer,
  parseRemoteUrl,
  type RemoteLog,
} from '@migrate/core';
import { toolVersion } from './version.ts';

/** What the end of a command waits for a log at the most. */
const closeMs = 5000;

export interface SendRequest {
  readonly server: LogServer;
  readonly origin: LogOrigin;
  /** Told where sending fails first. */
  readonly say: (text: string) => void;
}

/** Undefined for a URL that no server can have; the planner refuses those. */
export function sendLog({ server: { url, rootCa }, origin, say }: SendRequest): RemoteLog | undefined {
  const address = parseRemoteUrl(url);
  if (address === undefined) return undefined;
  return createRemoteLog({
    sender: createRemoteSender(address, origin, rootCa === undefined ? undefined : decodeAuthority(rootCa)),
    onTrouble: (text) => say(`the log cannot be sent to ${describeRemote(address)}: ${text}`),
  });
}

export interface SentEvents {
  readonly emit: Emit;
  /** For the server only: what the terminal shows in another form. */
  readonly sendOnly: Emit;
  close(): Promise<void>;
}

/** Gives the events of stage 1 to `shown` and, as lines, to the server of the configuration, if there is one. */
export async function alsoSent(
  host: HostReader,
  shown: Emit,
  log: Config['migrate']['log'] | undefined,
): Promise<SentEvents> {
  const hostname = ((await host.readText('/proc/sys/kernel/hostname')) ?? '').trim();
  const say = (text: string): void => shown({ kind: 'note', level: 'warn', text });
  const remote =
    log?.remote === undefined
      ? undefined
      : sendLog({ server: log.remote, origin: { hostname, stage: 1, toolVersion }, say });
  if (log === undefined || remote === undefined) return { emit: shown, sendOnly: () => {}, close: async () => {} };
  const send = createEventLog({
    level: log.level,
    uptimeSeconds: () => process.uptime(),
    now: host.now,
    sink: remote.sink,
  });
  return {
    emit: (event) => {
      shown(event);
      send(event);
    },
    sendOnly: send,
    close: async () => {
      await remote.close(closeMs);
    },
  };
}
