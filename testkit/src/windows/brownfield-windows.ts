// What the fake Windows has of networks, as PowerShell prints it: the same as the old system of the other roads (road/road.ts).
import { networkMac } from '../pc.ts';

export const wiredAdapter = {
  name: 'Ethernet',
  description: 'Red Hat VirtIO Ethernet Adapter',
  mac: networkMac.replaceAll(':', '-').toUpperCase(),
  permanentMac: networkMac.replaceAll(':', '').toUpperCase(),
  isWireless: false,
  isUp: true,
  addresses: [
    { address: '192.0.2.77', prefixLength: 24, origin: 'Manual' },
    { address: 'fe80::1%4', prefixLength: 64, origin: 'WellKnown' },
  ],
  dhcp: [
    { family: 'IPv4', enabled: 'Disabled' },
    { family: 'IPv6', enabled: 'Enabled' },
  ],
  routes: [{ destination: '0.0.0.0/0', nextHop: '192.0.2.1', metric: 256 }],
  dns: ['192.0.2.53'],
  dnsSuffix: '',
};

/** As netsh exports it (https://learn.microsoft.com/windows/win32/nativewifi/wlan-profileschema-schema). */
export const oldWifiProfile = `<?xml version="1.0"?>
<WLANProfile xmlns="http://www.microsoft.com/networking/WLAN/profile/v1">
	<name>field office</name>
	<SSIDConfig>
		<SSID>
			<hex>6669656C64206F6666696365</hex>
			<name>field office</name>
		</SSID>
	</SSIDConfig>
	<connectionType>ESS</connectionType>
	<connectionMode>auto</connectionMode>
	<MSM>
		<security>
			<authEncryption>
				<authentication>WPA2PSK</authentication>
				<encryption>AES</encryption>
				<useOneX>false</useOneX>
			</authEncryption>
			<sharedKey>
				<keyType>passPhrase</keyType>
				<protected>false</protected>
				<keyMaterial>canary-wifi-password</keyMaterial>
			</sharedKey>
		</security>
	</MSM>
</WLANProfile>
`;
