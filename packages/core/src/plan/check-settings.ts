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
    [!migrate.tarInternal, 'migrate.tar_internal: false', 'Archives are always read by migrate itself'],
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
