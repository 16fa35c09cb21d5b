// Keyfiles of NetworkManager on the old system: they move as they are, but for what ties them to it.
import { quoted } from '../config/quoted.ts';
import { Secret } from '../secret.ts';
import { type KeyfileSection, parseKeyfile, parseSsidValue, plainValue, printKeyfile } from './keyfile.ts';
import type { NotCarried } from './profile.ts';

export interface NativeConnection {
  readonly id: string;
  readonly type: string;
  /** Present for Wi-Fi. */
  readonly ssid?: Uint8Array;
  readonly interfaceName?: string;
  readonly sections: readonly KeyfileSection[];
  readonly source: string;
}

const longTypes: Readonly<Record<string, string>> = { '802-11-wireless': 'wifi', '802-3-ethernet': 'ethernet' };
const carriedTypes = ['wifi', 'ethernet', 'gsm', 'cdma'];
const certificateKeys = [
  'ca-cert',
  'client-cert',
  'private-key',
  'phase2-ca-cert',
  'phase2-client-cert',
  'phase2-private-key',
];
const securityNames = ['wifi-security', '802-11-wireless-security'];

/** Reads one keyfile, or says why it is not taken over. */
export function readNativeConnection(text: string, path: string): NativeConnection | NotCarried {
  const sections = parseKeyfile(text);
  const what = `connection ${quoted(path.slice(path.lastIndexOf('/') + 1))}`;
  const refuse = (reason: string, medium: NotCarried['medium'] = 'wired'): NotCarried => ({
    medium,
    what,
    reason,
    source: path,
  });
  if (sections === undefined) return refuse('it is not a keyfile');
  const value = (names: readonly string[], key: string): string | undefined => {
    const settings = sections.filter(({ name }) => names.includes(name)).flatMap((section) => section.settings);
    const raw = settings.find(([name]) => name === key)?.[1];
    return raw === undefined ? undefined : plainValue(raw);
  };
  const rawType = value(['connection'], 'type') ?? '';
  const type = longTypes[rawType] ?? rawType;
  const id = value(['connection'], 'id');
  if (id === undefined) return refuse('it has no id');
  if (!carriedTypes.includes(type)) return refuse(`connections of type ${quoted(type)} are not taken over`);
  if (value(['connection'], 'autoconnect') === 'false')
    return refuse('it does not come up by itself', type === 'wifi' ? 'wifi' : 'wired');
  if (['ap', 'adhoc', 'mesh'].includes(value(['wifi', '802-11-wireless'], 'mode') ?? ''))
    return refuse('it is an access point or ad-hoc network', 'wifi');
  const management = value(securityNames, 'key-mgmt');
  if ((management === 'wpa-psk' || management === 'sae') && value(securityNames, 'psk') === undefined)
    return refuse('its password is not in the file but with a user', 'wifi');
  const eapRefusal = eapRefusalOf((key) => value(['802-1x'], key));
  if (eapRefusal !== undefined) return refuse(eapRefusal, type === 'wifi' ? 'wifi' : 'wired');
  const ssid = value(['wifi', '802-11-wireless'], 'ssid');
  if (type === 'wifi' && ssid === undefined) return refuse('it has no SSID', 'wifi');
  const interfaceName = value(['connection'], 'interface-name');
  return {
    id,
    type,
    ...(ssid === undefined ? {} : { ssid: parseSsidValue(ssid) }),
    ...(interfaceName === undefined ? {} : { interfaceName }),
    sections,
    source: path,
  };
}

/** Why 802.1X with these settings (nm-settings(5), 802-1x) would not work from the keyfile alone. */
function eapRefusalOf(value: (key: string) => string | undefined): string | undefined {
  const methods = (value('eap') ?? '').split(';').filter(Boolean);
  if (methods.length === 0) return undefined;
  // Flags 1: with a user's agent; 2: asked each time (NMSettingSecretFlags).
  const isElsewhere = (key: string): boolean => ['1', '2', '3'].includes(value(`${key}-flags`) ?? '0');
  const needsPassword = methods.some((method) => method !== 'tls') && value('phase2-auth') !== 'tls';
  const hasPassword = value('password') !== undefined || value('password-raw') !== undefined;
  if (needsPassword && !hasPassword) return 'its password is not in the file but with a user';
  if (isElsewhere('private-key-password') && value('private-key-password') === undefined)
    return 'the password of its private key is not in the file but with a user';
  return value('pac-file') === undefined ? undefined : 'PAC files of EAP-FAST are not taken over';
}

/** Files of the old system that the connection names. */
export function certificatePaths({ sections }: NativeConnection): string[] {
  return sections.flatMap(({ settings }) =>
    settings.filter(([key, value]) => certificateKeys.includes(key) && isPath(value)).map(([, value]) => pathOf(value)),
  );
}

/** A certificate is named by its path, with or without a scheme; "data:" and "pkcs11:" are none. */
function isPath(value: string): boolean {
  return value.startsWith('/') || value.startsWith('file:///');
}

function pathOf(value: string): string {
  return value.replace(/^file:\/\//, '').replace(/\0$/, '');
}

/**
 * The keyfile for the new system: bound to the MAC instead of the name of its interface, without users and time stamps of the
 * old system, and with its certificates inside.
 */
export function printNativeConnection(
  { sections, type }: NativeConnection,
  { mac, certificates }: { readonly mac?: string; readonly certificates: ReadonlyMap<string, Uint8Array> },
): Secret {
  const dropped = ['interface-name', 'timestamp', 'permissions', 'master', 'slave-type', 'controller', 'port-type'];
  const isDevice = (name: string): boolean => (longTypes[name] ?? name) === type;
  const withDevice = sections.some(({ name }) => isDevice(name))
    ? sections
    : [...sections, { name: type, settings: [] }];
  const printed = withDevice.map(({ name, settings }): KeyfileSection => {
    const kept = settings
      .filter(([key]) => name !== 'connection' || !dropped.includes(key))
      .map(([key, value]): readonly [string, string] => {
        const contents = certificateKeys.includes(key) && isPath(value) ? certificates.get(pathOf(value)) : undefined;
        return [key, contents === undefined ? value : `data:;base64,${Buffer.from(contents).toString('base64')}`];
      });
    const bound = isDevice(name) && mac !== undefined && !kept.some(([key]) => key === 'mac-address');
    return { name, settings: bound ? [['mac-address', mac.toUpperCase()], ...kept] : kept };
  });
  return new Secret(printKeyfile(printed));
}
