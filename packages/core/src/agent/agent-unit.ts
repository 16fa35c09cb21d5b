// The agent as a service of systemd: the unit file (systemd.service(5), systemd.exec(5)).

export const unitName = 'balena-migrate-agent.service';
export const unitPath = `/etc/systemd/system/${unitName}`;

export interface UnitRequest {
  /** The command with its arguments; the first is an absolute path. */
  readonly command: readonly string[];
  readonly workDirectory: string;
}

/**
 * The unit file. It takes from the process what it never needs. Nothing that makes a mount namespace (Protect…, Private…, ReadWritePaths)
 * may be in it: stage 1 reads /proc/self/mountinfo to see which file systems the machine has, and would see those of the namespace. Nor
 * what systemd 229 of 2016 cannot load; it passes over settings that it does not know.
 */
export function agentUnit({ command, workDirectory }: UnitRequest): string {
  return `# Made by "migrate agent install"; "migrate agent remove" takes it away.
[Unit]
Description=Waits for the go-ahead to migrate this machine to balenaOS
Wants=network-online.target
After=network-online.target

[Service]
Type=simple
ExecStart=${command.map(quoteForUnit).join(' ')}
WorkingDirectory=${escapeSpecifiers(workDirectory)}
Restart=on-failure
RestartSec=60
# A migration that was begun is brought to its end or taken back.
KillMode=mixed
TimeoutStopSec=300
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
KeyringMode=private
OOMScoreAdjust=-500

[Install]
WantedBy=multi-user.target
`;
}

/** One word of a command line: quoted, with specifiers and variables escaped (systemd.service(5), "Command lines"). */
function quoteForUnit(word: string): string {
  return `"${escapeSpecifiers(word).replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('$', '$$$$')}"`;
}

function escapeSpecifiers(text: string): string {
  return text.replaceAll('%', '%%');
}
