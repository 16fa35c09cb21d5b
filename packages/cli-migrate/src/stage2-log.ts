import { createEventLog, createLogRing, type Emit, type LogLevel, type LogSink, textLine } from '@migrate/core';

const limitBytes = 1024 * 1024;

export interface Stage2Log {
  readonly emit: Emit;
  /** Gives a sink what was logged so far, and all that comes. */
  readonly attach: (sink: LogSink) => void;
  readonly bytes: () => Uint8Array;
}

/** The log of stage 2: lines in memory, bounded, oldest dropped first; each is printed to the console too. */
export function createStage2Log({
  level,
  print,
  uptimeSeconds,
  now,
}: {
  level: LogLevel;
  print: (line: string) => void;
  uptimeSeconds: () => number;
  now: () => Date;
}): Stage2Log {
  const ring = createLogRing(limitBytes);
  ring.attach((record) => print(textLine(record)));
  return {
    emit: createEventLog({ level, uptimeSeconds, now, sink: ring.add }),
    attach: ring.attach,
    bytes: () => new TextEncoder().encode(ring.text()),
  };
}
