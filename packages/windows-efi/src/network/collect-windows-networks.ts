import type { NetworkSources, NotCarried, WifiNetwork } from '@migrate/core';
import type { WindowsReader } from '../facts/inspect-windows.ts';
import { listOf, type Many, type Scalar, scalar, shapeOf, wholeNumber } from '../facts/shapes.ts';
import { hardwareOf, parseNetworks, settingsOf } from './read-adapters.ts';
import { readWifiProfile } from './wifi-profile.ts';
import { proxySources } from './windows-proxy.ts';

const profilesShape = shapeOf<{ readonly profiles?: Many<string>; readonly status?: Scalar }>('export-wifi-profiles', {
  type: 'object',
  properties: {
    profiles: { anyOf: [{ type: ['string', 'null'] }, { type: 'array', items: { type: 'string' } }] },
    status: scalar,
  },
});

const notExported: NotCarried = {
  medium: 'wifi',
  what: 'the Wi-Fi of this machine',
  reason: 'Windows exported no profiles: it knows none, or the service WlanSvc does not run',
  source: 'netsh wlan export',
};

/** All that Windows says of its networks, as planning for Linux knows it. Holds secrets. */
export async function collectWindowsNetworks(read: WindowsReader): Promise<NetworkSources> {
  const printed = parseNetworks(await read('read-networks'));
  const { profiles, status } = profilesShape(await read('export-wifi-profiles'));
  const hardware = printed.adapters.flatMap((adapter) => hardwareOf(adapter) ?? []);
  const isSilent = (wholeNumber(status) ?? 0) !== 0 && hardware.some(({ isWireless }) => isWireless);
  const readings = listOf(profiles).map(readWifiProfile);
  return {
    wifis: readings.flatMap((reading): WifiNetwork[] => ('network' in reading ? [reading.network] : [])),
    interfaces: printed.adapters.flatMap((adapter) => settingsOf(adapter) ?? []),
    authentications: [],
    notCarried: [
      ...readings.flatMap((reading): NotCarried[] => ('notCarried' in reading ? [reading.notCarried] : [])),
      ...(isSilent ? [notExported] : []),
    ],
    native: [],
    proxies: proxySources(printed),
    hardware,
    certificates: new Map(),
  };
}
