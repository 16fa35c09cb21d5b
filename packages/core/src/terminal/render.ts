import type { Emit, Event } from '../execute/event.ts';
import { redact, redactData } from '../log/redact.ts';
import type { Finding } from '../plan/finding.ts';
import { progressPace } from './progress-pace.ts';

/** Where text goes; process.stdout and process.stderr fit. */
export interface Output {
  readonly isTTY?: boolean;
  write(text: string): unknown;
}

const progressIntervalMs = 1000;

/** Plain lines, or a moving line of progress on a terminal. */
export function renderLines(output: Output, now: () => number = () => performance.now()): Emit {
  let lastProgressMs = Number.NEGATIVE_INFINITY;
  let isLineOpen = false;
  const paceOf = progressPace(now);
  const line = (text: string): void => {
    output.write(`${isLineOpen ? '\r\x1b[K' : ''}${redact(text)}\n`);
    isLineOpen = false;
  };
  return (event) => {
    if (event.kind === 'progress') {
      const pace = paceOf(event);
      const isLast = event.done >= event.total;
      if (!isLast && now() - lastProgressMs < (output.isTTY ? 100 : progressIntervalMs)) return;
      lastProgressMs = now();
      if (!output.isTTY) return line(`${lineOf(event)}${pace}`);
      output.write(`\r\x1b[K${lineOf(event)}${pace}`);
      isLineOpen = true;
      return;
    }
    line(lineOf(event));
  };
}

/** One JSON object a line. */
export function renderJson(output: Output): Emit {
  return (event) => {
    output.write(`${JSON.stringify(redactData(event))}\n`);
  };
}

/** One event as a line of text without a newline. */
export function lineOf(event: Event): string {
  switch (event.kind) {
    case 'step-started':
      return `> ${event.text}`;
    case 'progress':
      return `  ${event.text} ${percentOf(event)} % of ${Math.ceil(event.total / 1024 / 1024)} MiB`;
    case 'step-done':
      return `  done in ${(event.milliseconds / 1000).toFixed(1)} s`;
    case 'step-undone':
      return `  undone: ${event.step}`;
    case 'step-failed':
      return `! failed: ${event.text}`;
    case 'note':
      return `${event.level === 'error' || event.level === 'warn' ? '! ' : '  '}${event.text}`;
  }
}

function percentOf({ done, total }: { done: number; total: number }): string {
  return String(total === 0 ? 100 : Math.floor((done / total) * 100)).padStart(3);
}

/** Findings for a person, the refusing ones first. */
export function renderFindings(findings: readonly Finding[]): string {
  const ordered = [...findings].sort((a, b) => Number(a.severity === 'warning') - Number(b.severity === 'warning'));
  return ordered
    .map((finding) =>
      redact(`${finding.severity}: ${finding.where}: ${finding.message} [${finding.code}]\n       ${finding.hint}\n`),
    )
    .join('');
}
