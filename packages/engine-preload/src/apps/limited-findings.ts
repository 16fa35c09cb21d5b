import { type Finding, refuses } from '@migrate/core';

/** Nobody reads more; a hostile file could have thousands. */
export const findingLimit = 100;

/** The first findings, and a last one that says that there are more; it refuses where one of the others does. */
export function limitedFindings(findings: readonly Finding[], code: string, where: string): readonly Finding[] {
  if (findings.length <= findingLimit) return findings;
  const severity = refuses(findings) ? 'error' : 'warning';
  const more: Finding = { severity, code, where, message: 'more faults follow', hint: 'Correct these first' };
  return [...findings.slice(0, findingLimit), more];
}
