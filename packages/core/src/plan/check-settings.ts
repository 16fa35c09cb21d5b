import type { Config } from '../config/config.ts';
import type { Finding } from './finding.ts';

/** Settings that are understood but that this version cannot carry out: refused, since ignoring one could lose a device. */
export function checkSettings({ migrate }: Config): readonly Finding[] {
  const asked: [boolean, string, string][] = [
    [
      migrate.mode === 'extract',
      'migrate.mode: extract',
      'Extract images on a desk machine; use pretend or immediate here',
    ],
    [migrate.kernel !== undefined, 'migrate.kernel', "Remove it: stage 2 runs on this machine's own kernel"],
    [migrate.initrd !== undefined, 'migrate.initrd', "Remove it: stage 2 is built for this machine's own kernel"],
    [migrate.deviceTree.length > 0, 'migrate.device_tree', 'Remove it: a PC has no device tree'],
    [migrate.watchdogs.length > 0, 'migrate.watchdogs', 'Remove it and stop the watchdog before migrating'],
    [
      migrate.log.drive !== undefined,
      'migrate.log.drive',
      'Remove it: the log is kept on resin-data, or on this system after a failure',
    ],
    [
      migrate.failMode === 'rescue-shell',
      'migrate.fail_mode: RescueShell',
      'Remove it: a failing stage 2 boots this system again',
    ],
  ];
  const refused: Finding[] = asked
    .filter(([isAsked]) => isAsked)
    .map(([, where, hint]) => ({
      severity: 'error',
      code: 'setting-unsupported',
      where,
      message: 'this version cannot do what the setting asks',
      hint,
    }));
  const ignored: [boolean, string, string][] = [
    [
      !migrate.gzipInternal,
      'migrate.gzip_internal: false',
      'The image is always inflated by migrate itself, which is faster',
    ],
  ];
  const warnings: Finding[] = ignored
    .filter(([isAsked]) => isAsked)
    .map(([, where, hint]) => ({
      severity: 'warning',
      code: 'setting-ignored',
      where,
      message: 'this version does not act on the setting',
      hint,
    }));
  return [...refused, ...warnings];
}
