// A Wi-Fi profile as "netsh wlan export profile" writes it. The names in it are the schema's, whatever the language of Windows
// (learn.microsoft.com, WLAN_profile Schema).
import { type NotCarried, quoted, Secret, type WifiNetwork, type WifiSecurity } from '@migrate/core';
import { parseXml, XmlElement } from '@rgrove/parse-xml';

/** Windows writes some KiB. */
const lengthLimit = 256 * 1024;

export type WifiReading = { readonly network: WifiNetwork } | { readonly notCarried: NotCarried };

/** The network of a profile, or why it stays behind. Never throws for content; no part of it but its name is in the reason. */
export function readWifiProfile(xml: string): WifiReading {
  const profile = rootOf(xml);
  const name = profile === undefined ? undefined : textAt(profile, 'name');
  const source = name === undefined ? 'a Wi-Fi profile of Windows' : `Windows' Wi-Fi profile ${quoted(name)}`;
  const refuse = (reason: string): WifiReading => ({
    notCarried: { medium: 'wifi', what: `Wi-Fi ${quoted(name ?? '')}`, reason, source },
  });
  if (profile === undefined) return refuse('it cannot be read');
  if (textAt(profile, 'connectionType') === 'IBSS') return refuse('it is an ad-hoc network');
  const ssid = ssidOf(profile);
  if (ssid === undefined) return refuse('it has no SSID');
  const security = securityOf(profile);
  if (typeof security === 'string') return refuse(security);
  const isHidden = textAt(profile, 'SSIDConfig', 'nonBroadcast') === 'true';
  return { network: { ssid, isHidden, security, match: {}, source } };
}

function rootOf(xml: string): XmlElement | undefined {
  if (xml.length > lengthLimit) return undefined;
  try {
    const root = parseXml(xml.replace(/^\uFEFF/, '')).root;
    return root?.name === 'WLANProfile' ? root : undefined;
  } catch {
    // What the parser says quotes the text around the fault, which may be a password.
    return undefined;
  }
}

/** The hexadecimal form is the SSID itself; the name is what Windows shows for it. */
function ssidOf(profile: XmlElement): Uint8Array | undefined {
  const hex = textAt(profile, 'SSIDConfig', 'SSID', 'hex');
  const bytes =
    hex !== undefined && /^([0-9A-Fa-f]{2})+$/.test(hex)
      ? Buffer.from(hex, 'hex')
      : Buffer.from(textAt(profile, 'SSIDConfig', 'SSID', 'name') ?? '');
  return bytes.length >= 1 && bytes.length <= 32 ? Uint8Array.from(bytes) : undefined;
}

/** authEncryption and sharedKey of the profile's security; a text says why it is not taken over. */
function securityOf(profile: XmlElement): WifiSecurity | string {
  const security = (...path: string[]): string | undefined => textAt(profile, 'MSM', 'security', ...path);
  const authentication = security('authEncryption', 'authentication');
  const encryption = security('authEncryption', 'encryption');
  if (security('authEncryption', 'useOneX') === 'true') return enterprise;
  switch (authentication) {
    case 'open':
      return encryption === 'none' ? { kind: 'open' } : wep;
    case 'OWE':
      return { kind: 'owe' };
    case 'shared':
      return wep;
    case 'WPA':
    case 'WPA2':
    case 'WPA3':
    case 'WPA3ENT':
    case 'WPA3ENT192':
      return enterprise;
    case 'WPAPSK':
    case 'WPA2PSK':
    case 'WPA3SAE':
      break;
    default:
      return `its kind of security ${quoted(authentication ?? '')} is not known`;
  }
  const key = security('sharedKey', 'keyMaterial');
  const keyType = security('sharedKey', 'keyType');
  if (key === undefined) return 'its password is not in the profile';
  if (security('sharedKey', 'protected') !== 'false') return 'Windows gave its password only encrypted';
  const isKeyItself = keyType === 'networkKey';
  if (isKeyItself ? !/^[0-9A-Fa-f]{64}$/.test(key) : keyType !== 'passPhrase') return 'its password has no known form';
  // NetworkManager's wpa-psk is WPA2 and WPA3 (nm-settings, key-mgmt); sae alone would shut out access points in transition.
  const isTransition = security('authEncryption', 'transitionMode') === 'true';
  if (authentication === 'WPA3SAE' && !isTransition) {
    return isKeyItself ? 'WPA3 needs the password itself' : { kind: 'sae', psk: new Secret(key) };
  }
  if (!isKeyItself && !/^[\x20-\x7e]{8,63}$/.test(key)) return 'its password has not 8 to 63 plain characters';
  return { kind: 'psk', psk: new Secret(key) };
}

const enterprise = 'it is an enterprise network (802.1X), whose login Windows does not give away';
const wep = 'WEP is not secure, and balenaOS has no support for it';

/** Text of the first element at a path of names; names without their prefix. */
function textAt(element: XmlElement, ...path: readonly string[]): string | undefined {
  let current: XmlElement | undefined = element;
  for (const name of path) {
    current = current?.children.find(
      (child): child is XmlElement => child instanceof XmlElement && child.name.replace(/^.*:/, '') === name,
    );
  }
  return current?.text;
}
