// Whether the new system will find its way home, tried from the old one.

import type { Config } from '../config/config.ts';
import { MigrateError, messageOf } from '../error.ts';
import { type Http, readBody } from '../host/http.ts';
import type { Finding } from '../plan/finding.ts';
import { isKeyAccepted } from './balena-api.ts';
import type { CloudAccess } from './cloud-access.ts';

/** What the settings `balena.api`, `balena.check_vpn` and `balena.check_timeout` ask for; nothing is changed anywhere. */
export async function checkCloud(
  http: Http,
  access: CloudAccess,
  { api, checkVpn, checkTimeoutSeconds }: Config['balena'],
): Promise<readonly Finding[]> {
  const timeoutMs = checkTimeoutSeconds * 1000;
  const checks = [
    ...(api.check ? [checkApi(http, pingAddress(access.apiEndpoint, api), timeoutMs)] : []),
    ...(api.check && api.checkKey ? [checkKey(http, access, timeoutMs)] : []),
    ...(checkVpn && access.vpn !== undefined ? [checkVpnPort(http, access.vpn, timeoutMs)] : []),
  ];
  return (await Promise.all(checks)).flat();
}

/** `balena.api.host` and `port` over what config.json says. */
export function pingAddress(apiEndpoint: string, { host, port }: { host?: string; port?: number }): string {
  const url = new URL(`${apiEndpoint}/ping`);
  if (host !== undefined) return `https://${host}:${port ?? 443}/ping`;
  if (port !== undefined) url.port = String(port);
  return url.href;
}

async function checkApi(http: Http, url: string, timeoutMs: number): Promise<readonly Finding[]> {
  const unreachable = (message: string): readonly Finding[] => [
    {
      severity: 'error',
      code: 'api-unreachable',
      where: url,
      message: `the API does not answer, so the new system may not come online: ${message}`,
      hint: 'Cure the network, proxy or clock; if only this system cannot reach it, set balena.api.check: false',
    },
  ];
  try {
    if (!URL.canParse(url)) return unreachable('balena.api.host is not the name of a host');
    const response = await http.request({ method: 'GET', url, timeoutMs });
    const text = new TextDecoder().decode(await readBody(response, 64 * 1024, timeoutMs)).trim();
    if (response.status === 200 && text === 'OK') return [];
    return unreachable(`something answers with status ${response.status}, but not as the API does`);
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return unreachable(thrown.message);
  }
}

async function checkKey(http: Http, access: CloudAccess, timeoutMs: number): Promise<readonly Finding[]> {
  const where = 'balena.config';
  try {
    if (await isKeyAccepted({ http, access, timeoutMs })) return [];
    const hint = "Download config.json again from the fleet's dashboard";
    return [
      { severity: 'error', code: 'api-key', where, message: 'the API does not accept the key of config.json', hint },
    ];
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    const message = `whether the API accepts the key of config.json cannot be told: ${messageOf(thrown)}`;
    return [
      {
        severity: 'warning',
        code: 'api-key-unknown',
        where,
        message,
        hint: 'Cure that, or remove balena.api.check_key',
      },
    ];
  }
}

async function checkVpnPort(
  http: Http,
  { host, port }: { host: string; port: number },
  timeoutMs: number,
): Promise<readonly Finding[]> {
  try {
    await http.connect(host, port, timeoutMs);
    return [];
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    return [
      {
        severity: 'warning',
        code: 'vpn-unreachable',
        where: `${host}:${port}`,
        message: `the VPN does not answer, so the device may be online but out of reach: ${thrown.message}`,
        hint: 'Let the firewall pass it, or set balena.check_vpn: false',
      },
    ];
  }
}
