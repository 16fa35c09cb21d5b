import { chooseProfiles, chooseProxy, type NetworkChoice } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import type { WindowsReader } from '../facts/inspect-windows.ts';
import { readerOf } from '../windows-fixture.ts';
import { collectWindowsNetworks } from './collect-windows-networks.ts';

const everything: NetworkChoice = { allWifis: true, wifis: [], wired: true, proxy: true };

async function keyfilesOf(machine: string): Promise<Record<string, string>> {
  const { profiles } = chooseProfiles(await collectWindowsNetworks(readerOf(machine)), everything);
  return Object.fromEntries(profiles.map(({ name, keyfile }) => [name, keyfile.reveal()]));
}

describe('collectWindowsNetworks', () => {
  it('writes a fixed address with gateway, servers and routes, bound to the hardware', async () => {
    const files = await keyfilesOf('windows-10-iot-kiosk');
    expect(Object.keys(files)).toEqual(['migrated-ethernet-ethernet.nmconnection']);
    expect(files['migrated-ethernet-ethernet.nmconnection']).toMatch(
      /\[ethernet\]\nmac-address=74:FE:48:01:02:03\n\n\[ipv4\]\nmethod=manual\naddress1=10\.20\.0\.15\/16\ngateway=10\.20\.0\.1\ndns=10\.20\.0\.53;10\.20\.1\.53;\ndns-search=plant\.example;\nroute1=172\.16\.0\.0\/12,10\.20\.0\.2,10\n/,
    );
  });

  it('leaves adapters that get everything by DHCP to balenaOS', async () => {
    expect(await keyfilesOf('windows-10-home-japanese')).toEqual({});
    expect(Object.keys(await keyfilesOf('windows-11-pro-laptop-german'))).toEqual([
      'migrated-wifi-b-ro.nmconnection',
      'migrated-wifi-werkstatt.nmconnection',
    ]);
  });

  it('keeps DNS servers that someone wrote beside DHCP', async () => {
    const [file = ''] = Object.values(await keyfilesOf('windows-server-2022'));
    expect(file).toMatch(/\[ipv4\]\nmethod=auto\ndns=192\.168\.178\.53;\n/);
  });

  it('keeps what a wireless adapter without a permanent address says, and hidden and odd networks', async () => {
    const files = await keyfilesOf('windows-10-tablet-wifi');
    expect(Object.values(files).filter((text) => text.includes('hidden=true'))).toHaveLength(1);
    expect(Object.values(files).filter((text) => text.includes('ssid=255;0;254;1;'))).toHaveLength(1);
    expect(Object.values(files)).toHaveLength(4);
  });

  it("reads both of Windows' proxies", async () => {
    const proxyOf = async (machine: string) => chooseProxy((await collectWindowsNetworks(readerOf(machine))).proxies);
    const user = await proxyOf('windows-10-iot-kiosk');
    expect(user.files[0]?.contents.reveal()).toMatch(
      /type = http-connect;\s+ip = proxy\.plant\.example;\s+port = 3128;/,
    );
    const machine = await proxyOf('windows-server-2022');
    expect(machine.files[0]?.contents.reveal()).toMatch(/ip = 10\.1\.1\.1;\s+port = 8081;/);
    expect(machine.files[1]?.contents.reveal()).toContain('10.0.0.0/8');
    // A switch that is off, and a script.
    const off = await proxyOf('windows-10-pro-gap');
    expect(off.files).toEqual([]);
    expect(off.notCarried).toEqual([expect.objectContaining({ what: 'the proxy script (PAC)', isNeeded: false })]);
  });

  it('says so where a machine with Wi-Fi exports nothing', async () => {
    const silent =
      (machine: string): WindowsReader =>
      async (operation) =>
        operation === 'export-wifi-profiles' ? { profiles: [], status: 1 } : readerOf(machine)(operation);
    const { notCarried } = await collectWindowsNetworks(silent('windows-10-tablet-wifi'));
    expect(notCarried).toEqual([expect.objectContaining({ reason: expect.stringContaining('WlanSvc') })]);
    expect((await collectWindowsNetworks(silent('windows-10-iot-kiosk'))).notCarried).toEqual([]);
  });

  it('refuses an answer of another form, and says of what', async () => {
    const read = async (operation: string) => (operation === 'read-networks' ? { adapters: 'none' } : { profiles: [] });
    await expect(collectWindowsNetworks(read)).rejects.toThrow(/^read-networks: PowerShell's answer has another form/);
  });
});
