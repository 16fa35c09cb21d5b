// Turns events into lines of a log, and keeps the last of them.
import type { Emit, Event, LogLevel } from '../execute/event.ts';
import { progressPace } from '../terminal/progress-pace.ts';
import { lineOf } from '../terminal/render.ts';
import { redact } from './redact.ts';

/** One line of a log. */
export interface LogRecord {
  /** ISO 8601 in UTC; the clock may stand at 1970 in stage 2. */
  readonly time: string;
  /** Of the program. */
  readonly uptimeSeconds: number;
  readonly level: LogLevel;
  /** What kind of event it was. */
  readonly kind: Event['kind'];
  readonly text: string;
}

/** Receives lines. It must not throw and must not keep anyone waiting. */
export type LogSink = (record: LogRecord) => void;

const levels: readonly LogLevel[] = ['error', 'warn', 'info', 'debug', 'trace'];

/** Gives each event that matters to `sink`: notes from `level` on, and of progress every tenth. Secrets are taken out. */
export function createEventLog({
  level,
  uptimeSeconds,
  now,
  sink,
}: {
  level: LogLevel;
  uptimeSeconds: () => number;
  now: () => Date;
  sink: LogSink;
}): Emit {
  let lastProgress = '';
  const paceOf = progressPace(() => uptimeSeconds() * 1000);
  return (event) => {
    if (event.kind === 'note' && levels.indexOf(event.level) > levels.indexOf(level)) return;
    let text = lineOf(event);
    if (event.kind === 'progress') {
      text += paceOf(event);
      // Enough for a serial console, and for whoever watches from afar.
      const progress = `${event.text} ${Math.floor((event.done / Math.max(event.total, 1)) * 10)}`;
      if (progress === lastProgress) return;
      lastProgress = progress;
    }
    sink({
      time: now().toISOString(),
      uptimeSeconds: uptimeSeconds(),
      level: levelOf(event),
      kind: event.kind,
      text: redact(text),
    });
  };
}

function levelOf(event: Event): LogLevel {
  if (event.kind === 'note') return event.level;
  return event.kind === 'step-failed' ? 'error' : 'info';
}

/** A line of text with its newline: "[   12.3] > flash the image". */
export function textLine({ uptimeSeconds, text }: LogRecord): string {
  return `[${uptimeSeconds.toFixed(1).padStart(7)}] ${text}\n`;
}

/** The last lines, at most `limitBytes` of them as text. Sinks that are attached late get what is kept first. */
export function createLogRing(limitBytes: number) {
  const records: LogRecord[] = [];
  const sinks: LogSink[] = [];
  let sizeBytes = 0;
  const sizeOf = (record: LogRecord | undefined): number =>
    record === undefined ? 0 : Buffer.byteLength(textLine(record));
  return {
    add: (record: LogRecord): void => {
      records.push(record);
      sizeBytes += sizeOf(record);
      while (sizeBytes > limitBytes) sizeBytes -= sizeOf(records.shift());
      for (const sink of sinks) sink(record);
    },
    attach: (sink: LogSink): void => {
      for (const record of records) sink(record);
      sinks.push(sink);
    },
    text: (): string => records.map(textLine).join(''),
  };
}
