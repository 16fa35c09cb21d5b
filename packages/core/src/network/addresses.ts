import { isIP, isIPv4, isIPv6 } from 'node:net';
import { automatic, disabled, type IpPair, type IpRoute, type IpSettings } from './profile.ts';

/** "192.168.1.5/24" of an address and a prefix length or dotted netmask; undefined where that makes no sense. */
export function cidr(address: string, mask?: string): string | undefined {
  const [host = '', prefix = mask] = address.trim().split('/');
  const length = prefixLength(prefix ?? (isIPv6(host) ? '128' : '32'));
  const limit = isIPv4(host) ? 32 : isIPv6(host) ? 128 : -1;
  return length === undefined || length > limit ? undefined : `${host}/${length}`;
}

/** 24 for "24" and "255.255.255.0"; undefined for masks with holes. */
export function prefixLength(text: string): number | undefined {
  if (/^\d{1,3}$/.test(text)) return Number(text);
  if (!isIPv4(text)) return undefined;
  const bits = text
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
  return /^1*0*$/.test(bits) ? (bits.indexOf('0') === -1 ? 32 : bits.indexOf('0')) : undefined;
}

export function isAddress(text: string): boolean {
  return isIP(text) !== 0;
}

export interface IpItems {
  readonly dhcp4: boolean;
  readonly dhcp6: boolean;
  /** With prefix lengths, of both families. */
  readonly addresses: readonly string[];
  readonly gateways: readonly string[];
  readonly dns: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly routes: readonly IpRoute[];
}

/**
 * Sorts addresses, gateways and servers by family. A family without DHCP and addresses is off for IPv4; IPv6 stays automatic,
 * as routers announce it in every source.
 */
export function ipPair(items: IpItems): IpPair {
  const isV6 = (text: string): boolean => text.includes(':');
  const family = (wantsV6: boolean, hasDhcp: boolean, otherwise: IpSettings): IpSettings => {
    const pick = (list: readonly string[]): string[] => list.filter((text) => isV6(text) === wantsV6);
    const addresses = pick(items.addresses);
    if (!hasDhcp && addresses.length === 0) return otherwise;
    const gateway = pick(items.gateways)[0];
    return {
      method: hasDhcp ? 'auto' : 'manual',
      addresses,
      ...(gateway === undefined ? {} : { gateway }),
      dns: pick(items.dns),
      dnsSearch: items.dnsSearch,
      routes: items.routes.filter(({ destination }) => isV6(destination) === wantsV6),
    };
  };
  return {
    ipv4: family(false, items.dhcp4, disabled),
    ipv6: family(true, items.dhcp6, { ...automatic, dns: items.dns.filter(isV6) }),
  };
}
