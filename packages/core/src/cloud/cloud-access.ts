// What config.json says of the API that the device will talk to: where it is, whom to trust, and with which key.
import { parseConfigJson } from '../assets/config-json.ts';
import { MigrateError } from '../error.ts';
import { Secret } from '../secret.ts';
import { decodeAuthority } from './authority.ts';

export interface CloudAccess {
  /** https address without a slash at its end. */
  readonly apiEndpoint: string;
  readonly deviceType: string;
  /** The device's own key where config.json is of a registered device, else the one that registers devices. */
  readonly key: Secret;
  /** The registered device; with it, `key` is its own. */
  readonly uuid?: string;
  /** `balenaRootCA`: a certificate authority to trust as well, in PEM. */
  readonly authority?: string;
  readonly vpn?: { readonly host: string; readonly port: number };
}

/**
 * Reads config.json for talking to the API. Throws `invalid-input` for what parseConfigJson refuses, and `unsupported` for a key or an
 * authority that cannot be used; messages name the file and never a value of it.
 */
export function parseCloudAccess(text: string, fileName: string): CloudAccess {
  const { configJson, findings } = parseConfigJson(text, fileName);
  const [first] = findings;
  if (configJson === undefined) throw refused('invalid-input', fileName, first?.message ?? 'it is not valid');
  const values = new Map<string, unknown>(Object.entries(JSON.parse(text) as object));
  const given = (name: string): string | undefined => {
    const value = values.get(name);
    return typeof value === 'string' && value !== '' ? value : undefined;
  };
  const isDevice = configJson.hasDeviceKey && configJson.uuid !== undefined;
  const key = isDevice ? given('deviceApiKey') : given('apiKey');
  // What is no token cannot be a header either (RFC 6750, section 2.1).
  if (key === undefined || !/^[\x21-\x7e]+$/.test(key))
    throw refused('unsupported', fileName, 'its key has characters that no key has');
  const [rootCa, vpnHost] = [given('balenaRootCA'), given('vpnEndpoint')];
  const vpnPort = Number(values.get('vpnPort'));
  const authority = rootCa === undefined ? undefined : decodeAuthority(rootCa);
  if (rootCa !== undefined && authority === undefined)
    throw refused('unsupported', fileName, 'balenaRootCA is not a certificate in base64');
  return {
    apiEndpoint: new URL(configJson.apiEndpoint).href.replace(/\/+$/, ''),
    deviceType: configJson.deviceType,
    key: new Secret(key),
    ...(isDevice && configJson.uuid !== undefined ? { uuid: configJson.uuid } : {}),
    ...(authority === undefined ? {} : { authority }),
    ...(vpnHost === undefined ? {} : { vpn: { host: vpnHost, port: vpnPort > 0 && vpnPort < 65536 ? vpnPort : 443 } }),
  };
}

function refused(code: 'invalid-input' | 'unsupported', fileName: string, message: string): MigrateError {
  return new MigrateError(code, `${fileName}: ${message}`, { data: { path: fileName } });
}
