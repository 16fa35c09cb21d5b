import { type Event, type LogLevel, lineOf } from '@migrate/core';

const limitBytes = 1024 * 1024;
const levels: readonly LogLevel[] = ['error', 'warn', 'info', 'debug', 'trace'];

/** The log of stage 2: lines in memory, bounded, oldest dropped first; each is printed to the console too. */
export function createStage2Log({
  level,
  print,
  uptimeSeconds,
}: {
  level: LogLevel;
  print: (line: string) => void;
  uptimeSeconds: () => number;
}) {
  const lines: string[] = [];
  let sizeBytes = 0;
  let lastProgress = '';
  const add = (text: string): void => {
    const line = `[${uptimeSeconds().toFixed(1).padStart(7)}] ${text}\n`;
    lines.push(line);
    sizeBytes += Buffer.byteLength(line);
    while (sizeBytes > limitBytes) sizeBytes -= Buffer.byteLength(lines.shift() ?? '');
    print(line);
  };
  return {
    emit: (event: Event): void => {
      if (event.kind === 'note' && levels.indexOf(event.level) > levels.indexOf(level)) return;
      if (event.kind !== 'progress') {
        add(lineOf(event));
        return;
      }
      // Every tenth is enough for a serial console.
      const text = `${event.text} ${Math.floor((event.done / Math.max(event.total, 1)) * 10)}`;
      if (text === lastProgress) return;
      lastProgress = text;
      add(lineOf(event));
    },
    bytes: (): Uint8Array => new TextEncoder().encode(lines.join('')),
  };
}
