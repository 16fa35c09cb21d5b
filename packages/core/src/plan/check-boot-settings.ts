import type { Config } from '../config/config.ts';
import type { Facts } from '../machine/facts.ts';
import { warning } from './check-machine.ts';
import type { Finding } from './finding.ts';

/**
 * What becomes of the files and ways by which the original migrator starts its stage 2. Leaving them aside takes no device away, as
 * stage 2 then runs on what drives this machine now; so it is said and refuses nothing.
 */
export function checkBootSettings({ migrate }: Config, { kernel }: Pick<Facts, 'kernel'>): readonly Finding[] {
  const ignored = (where: string, message: string, hint: string): Finding =>
    warning('setting-ignored', where, message, hint);
  const findings: Finding[] = [];
  const { asked } = kernel;
  if (migrate.kernel !== undefined && (asked === undefined || 'problem' in asked)) {
    const reason = asked === undefined ? 'what it is can only be seen on the machine itself' : asked.problem;
    findings.push(
      ignored(
        'migrate.kernel',
        `stage 2 runs on the running kernel instead: ${reason}`,
        'Install the kernel with its modules on this system and name its image, or remove the setting',
      ),
    );
  }
  if (migrate.initrd !== undefined) {
    const message = 'stage 2 has an initramfs of its own instead, made for this machine';
    findings.push(ignored('migrate.initrd', message, 'Remove the setting; modules come from /lib/modules'));
  }
  if (migrate.deviceTree.length > 0) {
    const message = 'stage 2 is given the device tree that this machine runs with instead';
    findings.push(ignored('migrate.device_tree', message, 'Remove the setting'));
  }
  if (migrate.uboot !== undefined) {
    const message = 'which medium U-Boot starts from, and how, is found out on the board';
    findings.push(ignored('migrate.uboot', message, 'Remove the setting; pretend says what would be written'));
  }
  return findings;
}
