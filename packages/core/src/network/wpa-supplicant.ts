// wpa_supplicant.conf: hostap's wpa_supplicant/wpa_supplicant.conf and wpa_config_parse_string in src/utils/common.c.
import { quoted } from '../config/quoted.ts';
import { Secret } from '../secret.ts';
import type {
  CertificateFile,
  EapSettings,
  InterfaceMatch,
  NetworkReading,
  NotCarried,
  WifiNetwork,
  WifiSecurity,
  WiredAuthentication,
} from './profile.ts';
import { withoutUndefined } from './without-undefined.ts';

interface Block {
  readonly line: number;
  readonly fields: Map<string, string>;
}

/** Reads the networks of one file; `match` says for which interface the file is ("wpa_supplicant-wlan0.conf"). */
export function readWpaSupplicant(text: string, path: string, match: InterfaceMatch = {}): NetworkReading {
  const wifis: WifiNetwork[] = [];
  const authentications: WiredAuthentication[] = [];
  const notCarried: NotCarried[] = [];
  for (const { line, fields } of networkBlocks(text)) {
    const source = `${path}:${line}`;
    if (isWired(fields)) {
      const eap = wiredEapOf(fields);
      if (typeof eap === 'string') notCarried.push({ medium: 'wired', what: 'wired 802.1X', reason: eap, source });
      else authentications.push({ match, eap, source });
      continue;
    }
    const ssid = wpaBytes(fields.get('ssid'));
    const what =
      ssid === undefined ? 'a network without a readable SSID' : `Wi-Fi ${quoted(Buffer.from(ssid).toString())}`;
    const security = ssid === undefined ? 'its SSID cannot be read' : securityOf(fields);
    const refusal =
      fields.get('disabled') === '1'
        ? 'it is disabled'
        : (modeRefusal(fields) ?? (typeof security === 'string' ? security : undefined));
    if (ssid === undefined || refusal !== undefined || typeof security === 'string') {
      notCarried.push({ medium: 'wifi', what, reason: refusal ?? 'its SSID cannot be read', source });
      continue;
    }
    const priority = Number(fields.get('priority') ?? 'none');
    wifis.push({
      ssid,
      isHidden: fields.get('scan_ssid') === '1',
      security,
      match,
      ...(Number.isInteger(priority) && priority !== 0 ? { priority } : {}),
      source,
    });
  }
  return { wifis, interfaces: [], authentications, notCarried };
}

/** 802.1X without WPA and without an SSID is what the "wired" and "macsec_linux" drivers use (wpa_supplicant.conf(5)). */
function isWired(fields: Block['fields']): boolean {
  return !fields.has('ssid') && /(?:^|\s)IEEE8021X(?:\s|$)/i.test(fields.get('key_mgmt') ?? '');
}

function wiredEapOf(fields: Block['fields']): EapSettings | string {
  if (fields.get('disabled') === '1') return 'it is disabled';
  if (Number(fields.get('macsec_policy') ?? '0') !== 0) return 'MACsec is not taken over';
  return eapOf(fields);
}

/** Comments are whole lines, or follow the closing quote; a "#" inside quotes belongs to the value. */
function networkBlocks(text: string): Block[] {
  const blocks: Block[] = [];
  let current: Block | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    if (current === undefined) {
      if (/^network\s*=\s*\{$/.test(line)) current = { line: index + 1, fields: new Map() };
    } else if (line === '}') {
      blocks.push(current);
      current = undefined;
    } else {
      const equals = line.indexOf('=');
      if (equals > 0) current.fields.set(line.slice(0, equals).trim(), withoutComment(line.slice(equals + 1).trim()));
    }
  }
  return blocks;
}

function withoutComment(value: string): string {
  const end = value.startsWith('"') || value.startsWith('P"') ? value.lastIndexOf('"') : -1;
  if (end > 0) return value.slice(0, end + 1);
  return value.replace(/\s*#.*$/, '');
}

/** A quoted text, a printf-escaped one (P"…"), or hex digits. */
function wpaBytes(value: string | undefined): Uint8Array | undefined {
  if (value === undefined) return undefined;
  const plain = /^"(.*)"$/s.exec(value)?.[1];
  if (plain !== undefined) return nonEmpty(Buffer.from(plain));
  const escaped = /^P"(.*)"$/s.exec(value)?.[1];
  if (escaped !== undefined) return nonEmpty(printfDecoded(escaped));
  return /^(?:[0-9a-fA-F]{2})+$/.test(value) ? Buffer.from(value, 'hex') : undefined;
}

function nonEmpty(bytes: Buffer): Buffer | undefined {
  return bytes.length === 0 ? undefined : bytes;
}

const printfEscapes: Readonly<Record<string, number>> = { '\\': 0x5c, '"': 0x22, n: 0x0a, r: 0x0d, t: 0x09, e: 0x1b };

/** printf_decode in hostap's src/utils/common.c: \\ \" \n \r \t \e \xHH and octal. */
function printfDecoded(text: string): Buffer {
  const parts = text.match(/\\x[0-9a-fA-F]{1,2}|\\[0-7]{1,3}|\\.|[^\\]+/gs) ?? [];
  return Buffer.concat(
    parts.map((part) => {
      if (!part.startsWith('\\')) return Buffer.from(part);
      if (/^\\x./.test(part)) return Buffer.from([Number.parseInt(part.slice(2), 16)]);
      if (/^\\[0-7]/.test(part)) return Buffer.from([Number.parseInt(part.slice(1), 8) & 0xff]);
      const byte = printfEscapes[part.slice(1)];
      return byte === undefined ? Buffer.alloc(0) : Buffer.from([byte]);
    }),
  );
}

function wpaText(value: string | undefined): string | undefined {
  const bytes = wpaBytes(value);
  return bytes === undefined ? undefined : Buffer.from(bytes).toString();
}

function modeRefusal(fields: Block['fields']): string | undefined {
  const mode = fields.get('mode') ?? '0';
  return mode === '0' ? undefined : 'it is an access point, ad-hoc or mesh network';
}

/** What lets a device in, or why that cannot be taken over. */
function securityOf(fields: Block['fields']): WifiSecurity | string {
  const management = (fields.get('key_mgmt') ?? 'WPA-PSK WPA-EAP').toUpperCase().split(/\s+/);
  const has = (pattern: RegExp): boolean => management.some((name) => pattern.test(name));
  const isGiven = fields.has('key_mgmt');
  if (has(/EAP|^IEEE8021X$/) && (isGiven ? !has(/PSK|SAE/) : fields.has('eap'))) return eapSecurityOf(fields);
  const psk = pskOf(fields.get('psk'));
  const saePassword = pskOf(fields.get('sae_password')) ?? psk;
  if (has(/PSK/) && psk !== undefined) return { kind: 'psk', psk };
  if (has(/SAE/) && saePassword !== undefined) return { kind: 'sae', psk: saePassword };
  if (has(/^OWE$/)) return { kind: 'owe' };
  if (has(/^NONE$/)) {
    return [0, 1, 2, 3].some((index) => fields.has(`wep_key${index}`))
      ? 'WEP is not secure, and today’s kernels refuse it'
      : { kind: 'open' };
  }
  if (/^ext:/.test(fields.get('psk') ?? '')) return 'its password is kept outside of the file';
  return `its password is missing or not valid`;
}

function pskOf(value: string | undefined): Secret | undefined {
  if (value === undefined) return undefined;
  const text = /^"(.*)"$/s.exec(value)?.[1];
  if (text !== undefined) return text.length >= 1 ? new Secret(text) : undefined;
  return /^[0-9a-fA-F]{64}$/.test(value) ? new Secret(value) : undefined;
}

function eapSecurityOf(fields: Block['fields']): WifiSecurity | string {
  const eap = eapOf(fields);
  return typeof eap === 'string' ? eap : { kind: 'eap', eap };
}

function eapOf(fields: Block['fields']): EapSettings | string {
  const methods = (fields.get('eap') ?? '').toLowerCase().split(/\s+/).filter(Boolean);
  if (methods.length === 0) return 'it names no EAP method';
  const password = fields.get('password');
  if (password?.startsWith('hash:')) return 'its password is stored as a hash only';
  if (password?.startsWith('ext:')) return 'its password is kept outside of the file';
  const file = (key: string): CertificateFile | string | undefined => {
    const path = wpaText(fields.get(key));
    if (path === undefined) return undefined;
    return /^(?:blob|hash|probe|pkcs11|keystore):/.test(path) ? path : { path };
  };
  const files = {
    caCertificate: file('ca_cert'),
    clientCertificate: file('client_cert'),
    privateKey: file('private_key'),
  };
  const foreign = Object.values(files).find((found) => typeof found === 'string');
  if (foreign !== undefined) return 'its certificates are not plain files';
  const phase2 = /auth(?:eap)?=([A-Za-z0-9-]+)/i.exec(wpaText(fields.get('phase2')) ?? '')?.[1]?.toLowerCase();
  const secret = (key: string): Secret | undefined => {
    const value = wpaText(fields.get(key));
    return value === undefined ? undefined : new Secret(value);
  };
  const path = (found: CertificateFile | string | undefined) => (typeof found === 'object' ? found : undefined);
  return withoutUndefined<EapSettings>({
    methods,
    identity: wpaText(fields.get('identity')),
    anonymousIdentity: wpaText(fields.get('anonymous_identity')),
    password: secret('password'),
    phase2,
    domainSuffixMatch: wpaText(fields.get('domain_suffix_match')),
    caCertificate: path(files.caCertificate),
    clientCertificate: path(files.clientCertificate),
    privateKey: path(files.privateKey),
    privateKeyPassword: secret('private_key_passwd'),
  });
}
