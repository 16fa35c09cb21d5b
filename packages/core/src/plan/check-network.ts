import type { Assets } from '../assets/assets.ts';
import type { Config } from '../config/config.ts';
import { error, warning } from './check-machine.ts';
import type { Finding } from './finding.ts';

/** Whether the device will come back online, as far as that can be known, and what of its networks stays behind. */
export function checkNetwork(
  { connections, networks }: Pick<Assets, 'connections' | 'networks'>,
  { migrate }: Config,
): readonly Finding[] {
  const findings: Finding[] = [];
  const profiles = networks?.profiles ?? [];
  for (const ssid of networks?.missing ?? []) {
    findings.push(
      error(
        'network-unknown',
        'migrate.wifis',
        `this system does not know the Wi-Fi network ${JSON.stringify(ssid)}`,
        'Correct its name, remove it, or give a NetworkManager file for it in migrate.nwmgr_files',
      ),
    );
  }
  if (networks === undefined && (migrate.allWifis || migrate.wifis.length > 0)) {
    findings.push(
      warning(
        'network-not-seen',
        'migrate.all_wifis',
        'which networks move is decided on the machine itself',
        'Run migrate there to see them',
      ),
    );
  } else if (migrate.requireNetworkConfig && connections.length + profiles.length === 0) {
    findings.push(
      error(
        'network-missing',
        'migrate.nwmgr_files',
        'no network connection moves, so the device might not come back online',
        'Set migrate.all_wifis, list NetworkManager files in migrate.nwmgr_files, or set migrate.require_nwmgr_config to false where wired DHCP is enough',
      ),
    );
  }
  for (const { what, reason, source } of networks?.notCarried ?? []) {
    const hint = 'Give a NetworkManager file for it in migrate.nwmgr_files if the device needs it';
    findings.push(warning('network-not-carried', source, `${what} stays behind: ${reason}`, hint));
  }
  for (const { isNeeded, what, reason, source } of networks?.proxy?.notCarried ?? []) {
    const message = `${what} stays behind: ${reason}`;
    findings.push(
      isNeeded
        ? error(
            'proxy-not-carried',
            source,
            message,
            'Correct it, or set migrate.proxy to false where the device comes online without a proxy',
          )
        : warning(
            'proxy-not-carried',
            source,
            message,
            'If the device needs a proxy, name it as https_proxy in /etc/environment (on Windows: netsh winhttp set proxy)',
          ),
    );
  }
  const given = connections.map(({ name }) => name.toLowerCase());
  for (const { name } of profiles.filter((profile) => given.includes(profile.name))) {
    findings.push(
      error(
        'connection-name',
        name,
        'a file of migrate.nwmgr_files has the name of one that is made',
        'Rename your file',
      ),
    );
  }
  return findings;
}
