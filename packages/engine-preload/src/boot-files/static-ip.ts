// A fixed address for the wired network, as a NetworkManager connection file. Format: nm-settings-keyfile(5), nm-settings(5).
import { isIP, isIPv4 } from 'node:net';
import { MigrateError } from '@migrate/core';
import type { ConnectionText } from './connection-files.ts';

/** The name that users of older scripts know. */
const connectionName = 'static_ip';

export interface StaticIp {
  readonly address: string;
  /** Bits of the network: 24 stands for 255.255.255.0. */
  readonly prefix: number;
  readonly gateway?: string;
  readonly nameServers: readonly string[];
}

/** Parses `ADDRESS/PREFIX[,GATEWAY[,NAME SERVER…]]`, of one IP version; throws `invalid-input`. */
export function parseStaticIp(text: string): StaticIp {
  const [network = '', gateway, ...nameServers] = text.split(',').map((part) => part.trim());
  const [, address = '', digits = ''] = /^([^/]*)\/(\d{1,3})$/.exec(network) ?? [];
  const version = isIP(address);
  const prefix = Number(digits);
  if (version === 0 || address.includes('%') || prefix < 1 || prefix > (version === 4 ? 32 : 128)) {
    throw fault(text, 'it must begin with an address and its prefix, such as 10.0.0.5/24');
  }
  for (const other of [...(gateway === undefined ? [] : [gateway]), ...nameServers]) {
    if (isIP(other) !== version || other.includes('%'))
      throw fault(text, `"${other.slice(0, 60)}" is no address of IPv${version}`);
  }
  if (version === 4) {
    if (isWholeNetwork(address, prefix)) throw fault(text, 'this address stands for the whole network');
    if (gateway !== undefined && networkOf(address, prefix) !== networkOf(gateway, prefix)) {
      throw fault(text, 'the gateway lies outside of the network');
    }
  }
  return { address, prefix, nameServers, ...(gateway === undefined ? {} : { gateway }) };
}

/** The connection file `static_ip`: any wired interface, this address only for its IP version. */
export function staticIpConnection({ address, prefix, gateway, nameServers }: StaticIp): ConnectionText {
  const [fixed, other] = isIPv4(address) ? ['ipv4', 'ipv6'] : ['ipv6', 'ipv4'];
  const lines = [
    '[connection]',
    `id=${connectionName}`,
    'type=ethernet',
    '',
    `[${fixed}]`,
    'method=manual',
    `address1=${address}/${prefix}${gateway === undefined ? '' : `,${gateway}`}`,
    ...(nameServers.length === 0 ? [] : [`dns=${nameServers.join(';')};`]),
    '',
    `[${other}]`,
    'method=auto',
    '',
  ];
  return { name: connectionName, text: lines.join('\n') };
}

function numberOf(address: string): number {
  return address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

function networkOf(address: string, prefix: number): number {
  return Math.floor(numberOf(address) / 2 ** (32 - prefix));
}

/** First and last address of a network are not those of a machine; networks of one or two have neither (RFC 3021). */
function isWholeNetwork(address: string, prefix: number): boolean {
  if (prefix > 30) return false;
  const size = 2 ** (32 - prefix);
  const host = numberOf(address) % size;
  return host === 0 || host === size - 1;
}

function fault(text: string, message: string): MigrateError {
  return new MigrateError('invalid-input', `the fixed address "${text.slice(0, 100)}" cannot be used: ${message}`);
}
