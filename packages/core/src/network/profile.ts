// What a machine's networks are, whichever program keeps them: the sources are read into this, keyfiles are written from it.
import type { Secret } from '../secret.ts';

/** How a Wi-Fi network lets a device in. */
export type WifiSecurity =
  | { readonly kind: 'open' }
  /** Opportunistic encryption without a password. */
  | { readonly kind: 'owe' }
  /** Passphrase of 8 to 63 characters, or the 64 hex digits of the key itself. */
  | { readonly kind: 'psk'; readonly psk: Secret }
  /** WPA3; the password may have any length. */
  | { readonly kind: 'sae'; readonly psk: Secret }
  | { readonly kind: 'eap'; readonly eap: EapSettings };

export interface EapSettings {
  /** Lower-case names in order of preference: peap, ttls, tls, pwd, fast, leap; md5 on wires. */
  readonly methods: readonly string[];
  readonly identity?: string;
  readonly anonymousIdentity?: string;
  readonly password?: Secret;
  /** Inner method, lower-case without "auth=": mschapv2, gtc, pap… */
  readonly phase2?: string;
  readonly domainSuffixMatch?: string;
  readonly caCertificate?: CertificateFile;
  readonly clientCertificate?: CertificateFile;
  readonly privateKey?: CertificateFile;
  readonly privateKeyPassword?: Secret;
}

/** Paths of the files that the settings name. */
export function eapFiles({ caCertificate, clientCertificate, privateKey }: EapSettings): string[] {
  return [caCertificate, clientCertificate, privateKey].flatMap((file) => file?.path ?? []);
}

/** A file on the old system; its contents move into the keyfile. */
export interface CertificateFile {
  readonly path: string;
}

export interface IpRoute {
  /** "10.0.0.0/8"; "0.0.0.0/0" and "::/0" are default routes. */
  readonly destination: string;
  readonly gateway?: string;
  readonly metric?: number;
}

export interface IpSettings {
  readonly method: 'auto' | 'manual' | 'link-local' | 'disabled';
  /** With prefix length: "192.168.1.5/24". */
  readonly addresses: readonly string[];
  readonly gateway?: string;
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly routes: readonly IpRoute[];
}

/** Which interfaces of the old system something holds for; none of the fields: all of its kind. */
export interface InterfaceMatch {
  /** Name, or a pattern with "*" and "?" as in systemd. */
  readonly name?: string;
  /** Lower-case, with colons. */
  readonly mac?: string;
}

export interface WifiNetwork {
  /** 1 to 32 bytes of any value. */
  readonly ssid: Uint8Array;
  readonly isHidden: boolean;
  readonly security: WifiSecurity;
  readonly match: InterfaceMatch;
  /** Higher is tried first. */
  readonly priority?: number;
  /** Where a source keeps addresses with the network; else they stand with the interface. */
  readonly ip?: IpPair;
  readonly source: string;
}

export interface IpPair {
  readonly ipv4: IpSettings;
  readonly ipv6: IpSettings;
}

/** Addresses of an interface, be it wired or wireless. */
export interface InterfaceSettings extends IpPair {
  readonly match: InterfaceMatch;
  readonly source: string;
}

/** How wired interfaces prove themselves to a switch (IEEE 802.1X). */
export interface WiredAuthentication {
  readonly match: InterfaceMatch;
  readonly eap: EapSettings;
  readonly source: string;
}

/** Something that is not taken over, and why. */
export interface NotCarried {
  readonly medium: 'wifi' | 'wired';
  readonly what: string;
  readonly reason: string;
  readonly source: string;
}

/** What one source says. */
export interface NetworkReading {
  readonly wifis: readonly WifiNetwork[];
  readonly interfaces: readonly InterfaceSettings[];
  /** Absent in sources that keep none. */
  readonly authentications?: readonly WiredAuthentication[];
  readonly notCarried: readonly NotCarried[];
}

export const automatic: IpSettings = { method: 'auto', addresses: [], dns: [], dnsSearch: [], routes: [] };
export const disabled: IpSettings = { ...automatic, method: 'disabled' };
export const automaticPair: IpPair = { ipv4: automatic, ipv6: automatic };

export function isAutomatic(ip: IpSettings): boolean {
  return ip.method === 'auto' && [ip.addresses, ip.dns, ip.dnsSearch, ip.routes].every((list) => list.length === 0);
}
