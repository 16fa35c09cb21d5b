// The log as it is sent to a server: in the background, bounded in memory, tried again and again. Whatever happens to the network
// or the server, a migration neither waits for it nor fails by it.
import { messageOf } from '../error.ts';
import type { LogRecord, LogSink } from './event-log.ts';
import type { RemoteSender } from './remote-sender.ts';

const queueLimit = 5000;
const batchLimit = 200;
const sendTimeoutMs = 10_000;
const longestPauseMs = 30_000;

export interface RemoteLogRequest {
  readonly sender: RemoteSender;
  /** Told when sending fails first, and when it works again. */
  readonly onTrouble?: (text: string) => void;
  /** Lines are gathered for so long before they are sent. */
  readonly gatherMs?: number;
  readonly firstPauseMs?: number;
}

export interface RemoteLog {
  readonly sink: LogSink;
  /** Sends what is left, for at most `timeoutMs`. Returns how many lines were not sent. */
  close(timeoutMs: number): Promise<number>;
}

export function createRemoteLog(request: RemoteLogRequest): RemoteLog {
  const { sender, onTrouble = () => {}, gatherMs = 500, firstPauseMs = 1000 } = request;
  const queue: LogRecord[] = [];
  let dropped = 0;
  let endMs = Number.POSITIVE_INFINITY;
  let timer: NodeJS.Timeout | undefined;
  let work: Promise<void> | undefined;
  let wake = (): void => {};
  const pause = (milliseconds: number): Promise<void> =>
    new Promise((resolve) => {
      const pausing = setTimeout(resolve, milliseconds);
      pausing.unref();
      wake = () => {
        clearTimeout(pausing);
        resolve();
      };
    });
  const drain = async (): Promise<void> => {
    let pauseMs = firstPauseMs;
    while (queue.length > 0 && performance.now() < endMs) {
      const batch = queue.slice(0, batchLimit);
      const lost = dropped;
      const first = batch[0];
      const records = lost === 0 || first === undefined ? batch : [lostLines(lost, first), ...batch];
      try {
        await sender.send(records, Math.max(1, Math.ceil(Math.min(sendTimeoutMs, endMs - performance.now()))));
        // New lines came to the end meanwhile, and some may have been dropped at the start.
        queue.splice(0, Math.max(0, batch.length - (dropped - lost)));
        dropped = Math.max(0, dropped - lost - batch.length);
        pauseMs = firstPauseMs;
      } catch (thrown) {
        if (pauseMs === firstPauseMs) onTrouble(messageOf(thrown));
        await pause(Math.min(pauseMs, Math.max(0, endMs - performance.now())));
        pauseMs = Math.min(pauseMs * 2, longestPauseMs);
      }
    }
  };
  const start = (): void => {
    timer = undefined;
    work ??= drain().finally(() => {
      work = undefined;
      if (queue.length > 0 && performance.now() < endMs) start();
    });
  };
  return {
    sink: (record) => {
      queue.push(record);
      if (queue.length > queueLimit) {
        queue.shift();
        dropped += 1;
      }
      if (work === undefined && timer === undefined) {
        timer = setTimeout(start, gatherMs);
        timer.unref();
      }
    },
    close: async (timeoutMs) => {
      endMs = performance.now() + timeoutMs;
      clearTimeout(timer);
      wake();
      if (work === undefined) start();
      let limit: NodeJS.Timeout | undefined;
      await Promise.race([
        work,
        new Promise((resolve) => {
          limit = setTimeout(resolve, timeoutMs + 100);
        }),
      ]);
      clearTimeout(limit);
      sender.close();
      return queue.length;
    },
  };
}

function lostLines(count: number, next: LogRecord): LogRecord {
  return { ...next, level: 'warn', kind: 'note', text: `${count} lines before this one were not sent` };
}
