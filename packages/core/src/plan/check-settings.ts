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
  const ownKernel = "Stage 2 runs on this machine's own kernel, modules and device tree, which are known to drive it";
  const ignored: [boolean, string, string][] = [
    [migrate.kernel !== undefined, 'migrate.kernel', ownKernel],
    [migrate.initrd !== undefined, 'migrate.initrd', ownKernel],
    [migrate.deviceTree.length > 0, 'migrate.device_tree', ownKernel],
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
