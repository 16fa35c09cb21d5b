// What stage 2 does with the watchdogs of a machine.
import type { WatchdogSetting } from '../config/config.ts';
import type { WatchdogDuty } from '../initramfs/initramfs.ts';
import type { Facts } from '../machine/facts.ts';
import { error, warning } from '../plan/check-machine.ts';
import type { Finding } from '../plan/finding.ts';
import type { Watchdog } from './watchdogs.ts';

/** Init feeds more often where a third of the timeout that it finds is less. */
const usualIntervalSeconds = 10;
/** Of drivers/watchdog/softdog.c. */
const softwareIdentity = 'Software Watchdog';

/**
 * Watchdogs that run are fed, so that none resets the machine while its disk is written, and a kernel that hangs before is reset
 * into the old system. Those that stand still are left alone unless `migrate.watchdogs` names them: opening one starts it.
 */
export function watchdogDuties(
  facts: Pick<Facts, 'watchdogs'>,
  settings: readonly WatchdogSetting[],
): { readonly duties: readonly WatchdogDuty[]; readonly findings: readonly Finding[] } {
  const watchdogs = facts.watchdogs ?? [];
  const duties: WatchdogDuty[] = [];
  const findings: Finding[] = [];
  settings.forEach((setting, index) => {
    if (watchdogs.some((watchdog) => names(setting, watchdog))) return;
    const known = watchdogs.map(({ path }) => path).join(', ') || 'it has none that a driver serves';
    findings.push(
      error(
        'watchdog-unknown',
        `migrate.watchdogs[${index}].path`,
        `${setting.path} is not a watchdog of this machine (${known})`,
        'Correct the path or remove the entry; if the hardware is there, load its driver first',
      ),
    );
  });
  for (const watchdog of watchdogs) {
    const setting = settings.find((candidate) => names(candidate, watchdog));
    if (setting === undefined && watchdog.isRunning !== true) continue;
    if (watchdog.identity === softwareIdentity) {
      if (setting !== undefined) findings.push(softwareOnly(watchdog));
      continue;
    }
    const intervalSeconds = setting?.intervalSeconds ?? usualIntervalSeconds;
    const stops = setting?.close === true && watchdog.canBeStopped !== false;
    if (setting?.close === true && !stops) findings.push(cannotStop(watchdog));
    const identity = watchdog.identity ?? watchdog.path.replace('/dev/', '');
    // Init serves all that have the name.
    if (duties.some((duty) => duty.identity === identity)) continue;
    duties.push({ identity, action: stops ? 'stop' : 'feed', intervalSeconds });
  }
  return { duties, findings };
}

/** /dev/watchdog is another name of the first one (drivers/watchdog/watchdog_dev.c). */
function names({ path }: WatchdogSetting, watchdog: Watchdog): boolean {
  return (path === '/dev/watchdog' ? '/dev/watchdog0' : path) === watchdog.path;
}

function softwareOnly({ path }: Watchdog): Finding {
  return warning(
    'watchdog-software',
    path,
    'it is made of software and ends with this system, so stage 2 does nothing about it',
    'Remove its entry from migrate.watchdogs',
  );
}

function cannotStop({ path }: Watchdog): Finding {
  return warning(
    'watchdog-nowayout',
    path,
    'its driver does not let it be stopped (nowayout), so stage 2 feeds it instead',
    'Set close: false to say so yourself',
  );
}
