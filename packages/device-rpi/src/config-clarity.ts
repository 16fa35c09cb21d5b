// Whether config.txt says for certain what it starts.
import { error, type Finding } from '@migrate/core';
import type { Evaluation } from './evaluate-config.ts';
import type { BootSelection } from './select-boot-files.ts';

/** Settings that decide what is started: an unreadable line with one of these could mean anything. */
const deciding =
  /^(kernel|initramfs|ramfsfile|cmdline|os_prefix|device_tree|arm_64bit|auto_initramfs|include|boot_\w+)\b/;

/** What keeps us from knowing; `evaluation` and `selections` have one entry for each case of what cannot be known beforehand. */
export function checkClarity(
  path: string,
  { evaluation, selections }: { evaluation: readonly Evaluation[]; selections: readonly (BootSelection | string)[] },
): readonly Finding[] {
  const findings: Finding[] = [];
  for (const name of new Set(evaluation.flatMap((each) => each.missing))) findings.push(unreadable(`${path}: ${name}`));
  for (const text of new Set(evaluation.flatMap((each) => each.unknown))) {
    if (!deciding.test(text)) continue;
    findings.push(
      error(
        'rpi-config-unclear',
        path,
        `what the line "${text}" does is not certain`,
        'Write settings as name=value, and without include on this board',
      ),
    );
  }
  const texts = new Set(selections.map((selection) => JSON.stringify(selection)));
  if (texts.size > 1) {
    findings.push(
      error(
        'rpi-config-unclear',
        path,
        'what it starts depends on a filter that cannot be known beforehand (pins, screen, serial number)',
        'Move kernel=, device_tree=, os_prefix= and cmdline= out of that section',
      ),
    );
  }
  for (const selection of new Set(selections)) {
    if (typeof selection === 'string')
      findings.push(error('rpi-config-boot', path, selection, 'Correct it, reboot and try again'));
  }
  return findings;
}

export function unreadable(where: string): Finding {
  return error('rpi-config-missing', where, 'it is not there, or larger than 64 KiB', 'Restore it and try again');
}
