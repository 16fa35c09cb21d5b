// Decides which networks move, and writes their keyfiles. Pure.
import type { Config } from '../config/config.ts';
import { quoted } from '../config/quoted.ts';
import { Secret } from '../secret.ts';
import type { NetworkSources } from './collect.ts';
import { matching, type NetworkInterface } from './interfaces.ts';
import { certificatePaths, type NativeConnection, printNativeConnection } from './network-manager.ts';
import { printEthernetProfile, printWifiProfile } from './print-profile.ts';
import {
  automaticPair,
  eapFiles,
  type InterfaceMatch,
  type IpPair,
  isAutomatic,
  type NotCarried,
  type WifiNetwork,
  type WiredAuthentication,
} from './profile.ts';

/** What the configuration asks for. */
export interface NetworkChoice {
  readonly allWifis: boolean;
  /** SSIDs of the only ones wanted. */
  readonly wifis: readonly string[];
  /** Whether connections other than Wi-Fi move: fixed addresses of wired interfaces, mobile broadband. */
  readonly wired: boolean;
  /** Whether the system's proxy moves. */
  readonly proxy: boolean;
}

export function networkChoice({ migrate }: Config): NetworkChoice {
  return { allWifis: migrate.allWifis, wifis: migrate.wifis, wired: migrate.wired, proxy: migrate.proxy };
}

export interface ChosenProfile {
  /** File name in system-connections: safe on FAT, and no two are equal there. */
  readonly name: string;
  /** For people: 'Wi-Fi "home" from /etc/wpa_supplicant/wpa_supplicant.conf:7'. */
  readonly description: string;
  readonly keyfile: Secret;
}

export interface ChosenProfiles {
  readonly profiles: readonly ChosenProfile[];
  readonly notCarried: readonly NotCarried[];
  /** Wanted SSIDs that no source has. */
  readonly missing: readonly string[];
}

/**
 * Of networks that several sources name, the first one counts: NetworkManager's own, then the order of collectNetworks.
 * Wired interfaces move only where they differ from what balenaOS does by itself, DHCP on all.
 */
export function chooseProfiles(sources: NetworkSources, choice: NetworkChoice): ChosenProfiles {
  const wantsWifi = choice.allWifis || choice.wifis.length > 0;
  const notCarried = sources.notCarried.filter(({ medium }) => (medium === 'wifi' ? wantsWifi : choice.wired));
  const isWanted = (ssid: Uint8Array): boolean =>
    choice.allWifis || choice.wifis.some((wanted) => Buffer.compare(Buffer.from(wanted), ssid) === 0);
  const taken = new Set<string>();
  const found: { stem: string; description: string; keyfile: Secret }[] = [];
  const offer = (
    key: string,
    profile: { stem: string; description: string; source: string; print: () => Secret },
  ): void => {
    if (taken.has(key)) return;
    taken.add(key);
    found.push({
      stem: profile.stem,
      description: `${profile.description} from ${profile.source}`,
      keyfile: profile.print(),
    });
  };
  for (const connection of sources.native) {
    if (connection.ssid === undefined ? !choice.wired : !isWanted(connection.ssid)) continue;
    const missing = certificatePaths(connection).filter((path) => !sources.certificates.has(path));
    const bound = boundTo(sources, connection.interfaceName === undefined ? {} : { name: connection.interfaceName });
    const what =
      connection.ssid === undefined ? `${connection.type} ${quoted(connection.id)}` : wifiName(connection.ssid);
    if (missing.length > 0 || bound === 'unknown') {
      const reason =
        missing.length > 0
          ? `its certificate ${missing[0]} cannot be read`
          : `there is no interface ${quoted(connection.interfaceName ?? '')}`;
      notCarried.push({
        medium: connection.type === 'wifi' ? 'wifi' : 'wired',
        what,
        reason,
        source: connection.source,
      });
      continue;
    }
    offer(keyOf(connection), {
      stem:
        connection.ssid === undefined
          ? `${connection.type}-${connection.id}`
          : `wifi-${Buffer.from(connection.ssid).toString()}`,
      description: what,
      source: connection.source,
      print: () =>
        printNativeConnection(connection, {
          ...(bound === undefined ? {} : { mac: bound.mac }),
          certificates: sources.certificates,
        }),
    });
  }
  for (const network of sources.wifis.filter(({ ssid }) => isWanted(ssid))) {
    const missing = missingCertificate(network, sources);
    if (missing !== undefined) {
      notCarried.push({
        medium: 'wifi',
        what: wifiName(network.ssid),
        reason: `its certificate ${missing} cannot be read`,
        source: network.source,
      });
      continue;
    }
    const ip = network.ip ?? addressesOf(sources, network.match);
    offer(`wifi ${hex(network.ssid)}`, {
      stem: `wifi-${Buffer.from(network.ssid).toString()}`,
      description: wifiName(network.ssid),
      source: network.source,
      print: () =>
        new Secret(printWifiProfile({ id: profileId(network) }, network, { ip, certificates: sources.certificates })),
    });
  }
  for (const authentication of choice.wired ? sources.authentications : []) {
    const { eap, source } = authentication;
    const wired = authenticated(authentication, sources);
    const missing = eapFiles(eap).find((path) => !sources.certificates.has(path));
    const refusal = missing === undefined ? undefined : `its certificate ${missing} cannot be read`;
    if (typeof wired === 'string' || refusal !== undefined) {
      const reason = refusal ?? String(wired);
      notCarried.push({ medium: 'wired', what: `802.1X of ${nameOf(authentication.match)}`, reason, source });
      continue;
    }
    for (const { name, mac } of wired) {
      const settings = sources.interfaces.find(
        ({ match, ipv4, ipv6 }) =>
          !(isAutomatic(ipv4) && isAutomatic(ipv6)) &&
          matching(sources.hardware, match).some((found) => found.mac === mac),
      );
      offer(`ethernet ${mac}`, {
        stem: `ethernet-${name}`,
        description: `Ethernet ${name} (${mac}) with 802.1X`,
        source: settings === undefined || settings.source === source ? source : `${source} and ${settings.source}`,
        print: () =>
          new Secret(
            printEthernetProfile({ id: `ethernet ${name}`, mac }, settings ?? automaticPair, {
              eap,
              certificates: sources.certificates,
            }),
          ),
      });
    }
  }
  for (const settings of choice.wired ? sources.interfaces : []) {
    if (isAutomatic(settings.ipv4) && isAutomatic(settings.ipv6)) continue;
    const wired = matching(sources.hardware, settings.match).filter(({ isWireless }) => !isWireless);
    for (const { name, mac } of wired) {
      offer(`ethernet ${mac}`, {
        stem: `ethernet-${name}`,
        description: `Ethernet ${name} (${mac})`,
        source: settings.source,
        print: () => new Secret(printEthernetProfile({ id: `ethernet ${name}`, mac }, settings)),
      });
    }
    if (matching(sources.hardware, settings.match).length === 0)
      notCarried.push({
        medium: 'wired',
        what: `addresses of ${nameOf(settings.match)}`,
        reason: 'there is no such interface',
        source: settings.source,
      });
  }
  const missing = choice.wifis.filter((wanted) => !taken.has(`wifi ${hex(Buffer.from(wanted))}`));
  return { profiles: withNames(found), notCarried, missing };
}

function keyOf(connection: NativeConnection): string {
  return connection.ssid === undefined ? `native ${connection.source}` : `wifi ${hex(connection.ssid)}`;
}

/** The interface that a connection is tied to by name; undefined where it is tied to none. */
function boundTo({ hardware }: NetworkSources, match: InterfaceMatch): NetworkInterface | 'unknown' | undefined {
  if (match.name === undefined && match.mac === undefined) return undefined;
  return matching(hardware, match)[0] ?? 'unknown';
}

/** Addresses that stand with the wireless interface instead of the network. */
function addressesOf(sources: NetworkSources, match: InterfaceMatch): IpPair {
  const wireless = sources.hardware.filter(({ isWireless }) => isWireless);
  const own = matching(wireless, match);
  const settings = sources.interfaces.find((candidate) => matching(own, candidate.match).length > 0);
  return settings ?? automaticPair;
}

function missingCertificate({ security }: WifiNetwork, { certificates }: NetworkSources): string | undefined {
  return security.kind === 'eap' ? eapFiles(security.eap).find((path) => !certificates.has(path)) : undefined;
}

/**
 * The wired interfaces that prove themselves, or why that is not known. A file that names none is for the only one there is:
 * NetworkManager would keep others offline whose switch does not ask.
 */
function authenticated(
  { match }: WiredAuthentication,
  { hardware }: NetworkSources,
): readonly NetworkInterface[] | string {
  const wired = matching(hardware, match).filter(({ isWireless }) => !isWireless);
  if (wired.length === 0) return 'there is no such wired interface';
  const isNamed = match.name !== undefined || match.mac !== undefined;
  return isNamed || wired.length === 1 ? wired : 'it does not say for which interface it is';
}

function wifiName(ssid: Uint8Array): string {
  return `Wi-Fi ${quoted(Buffer.from(ssid).toString())}`;
}

function profileId({ ssid }: WifiNetwork): string {
  const text = Buffer.from(ssid).toString();
  return /^[\x20-\x7e]+$/.test(text) ? text : `wifi ${hex(ssid)}`;
}

function nameOf(match: InterfaceMatch): string {
  return match.name ?? match.mac ?? 'all interfaces';
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** FAT tells no case, and of names little but letters and digits is safe everywhere. */
function withNames(found: readonly { stem: string; description: string; keyfile: Secret }[]): ChosenProfile[] {
  const used = new Set<string>();
  return found.map(({ stem, description, keyfile }) => {
    const safe = stem
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-|-$/g, '')
      .slice(0, 40);
    let name = `migrated-${safe}.nmconnection`;
    for (let count = 2; used.has(name); count += 1) name = `migrated-${safe}-${count}.nmconnection`;
    used.add(name);
    return { name, description, keyfile };
  });
}
