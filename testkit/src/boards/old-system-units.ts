// What an old system with systemd needs so that the test can talk to it over the console, and is up soon.
import { serialAgentPath } from '../serial-shell.ts';

/** Said on the console by an old system that is up. */
export const oldSystemUp = 'OLD-SYSTEM-UP';

const agentUnit = `[Unit]
Description=Commands of the test over the console
[Service]
ExecStartPre=/bin/sh -c 'printf "\\n${oldSystemUp}\\n" >/dev/console'
ExecStart=${serialAgentPath} /dev/ttyAMA0
Restart=always
# A shell that waits for a command would hold up the restart of the machine.
TimeoutStopSec=1
[Install]
WantedBy=multi-user.target
`;

/** What would only take time, or the console. */
const maskedUnits = [
  'serial-getty@ttyAMA0.service',
  'getty@tty1.service',
  'apt-daily.timer',
  'apt-daily-upgrade.timer',
  'dpkg-db-backup.timer',
  'e2scrub_all.timer',
  'e2scrub_reap.service',
  'fstrim.timer',
  'systemd-update-utmp.service',
  'ldconfig.service',
  'systemd-logind.service',
  'systemd-random-seed.service',
  'dev-mqueue.mount',
  'sys-kernel-debug.mount',
  'sys-kernel-tracing.mount',
];

export const systemdFiles: Readonly<Record<string, string>> = {
  '/etc/machine-id': '0123456789abcdef0123456789abcdef\n',
  '/etc/systemd/system/serial-agent.service': agentUnit,
};

export const systemdLinks: Readonly<Record<string, string>> = {
  '/etc/systemd/system/default.target': '/lib/systemd/system/multi-user.target',
  '/etc/systemd/system/multi-user.target.wants/serial-agent.service': '../serial-agent.service',
  ...Object.fromEntries(maskedUnits.map((name) => [`/etc/systemd/system/${name}`, '/dev/null'])),
};
