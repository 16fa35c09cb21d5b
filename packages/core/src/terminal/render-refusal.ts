import { redactData } from '../log/redact.ts';
import { type Finding, refuses } from '../plan/finding.ts';
import { renderFindings } from './render.ts';

/** Prints findings before anything was changed: as JSON on standard output, for a person on standard error. */
export function renderRefusal(program: string, findings: readonly Finding[], { json }: { json?: boolean }): void {
  if (json === true) {
    process.stdout.write(`${JSON.stringify(redactData({ findings }), null, 2)}\n`);
    return;
  }
  process.stderr.write(renderFindings(findings));
  if (refuses(findings)) process.stderr.write(`${program}: refused, nothing was changed\n`);
}
