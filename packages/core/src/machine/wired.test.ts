import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { inspectWired } from './wired.ts';

const interfaceFiles = (name: string, changes: Readonly<Record<string, string>> = {}) =>
  Object.fromEntries(
    Object.entries({ type: '1', operstate: 'up', address: '02:AA:00:00:00:01', ...changes }).map(([file, text]) => [
      `/sys/class/net/${name}/${file}`,
      `${text}\n`,
    ]),
  );

describe('inspectWired', () => {
  it('finds wired interfaces that are up, and no others', async () => {
    const device = '/sys/devices/pci0000:00/0000:00:19.0';
    const withDevice = ['eno1', 'eno2', 'wlan0', 'ib0'];
    const host = createMemoryHost({
      files: {
        [`${device}/uevent`]: '',
        ...interfaceFiles('eno1'),
        ...interfaceFiles('eno2', { operstate: 'down' }),
        ...interfaceFiles('wlan0', { 'phy80211/name': 'phy0' }),
        ...interfaceFiles('ib0', { type: '32' }),
        ...interfaceFiles('br0'),
        ...interfaceFiles('lo', { type: '772', operstate: 'unknown' }),
      },
      links: Object.fromEntries(withDevice.map((name) => [`/sys/class/net/${name}/device`, device])),
    });
    expect(await inspectWired(host)).toEqual([{ name: 'eno1', mac: '02:aa:00:00:00:01', device }]);
    expect(await inspectWired(createMemoryHost())).toEqual([]);
  });
});
