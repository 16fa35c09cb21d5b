// What Windows says of its network adapters and its proxies.
import {
  cidr,
  type InterfaceSettings,
  type IpRoute,
  ipPair,
  isAddress,
  type NetworkInterface,
  quoted,
} from '@migrate/core';
import {
  flag,
  listOf,
  type Many,
  many,
  named,
  plainText,
  type Scalar,
  scalar,
  shapeOf,
  wholeNumber,
} from '../facts/shapes.ts';

const adapterSchema = {
  type: 'object',
  properties: {
    name: scalar,
    description: scalar,
    mac: scalar,
    permanentMac: scalar,
    isWireless: scalar,
    isUp: scalar,
    addresses: many({
      type: 'object',
      properties: { address: scalar, prefixLength: scalar, origin: scalar },
    } as const),
    dhcp: many({ type: 'object', properties: { family: scalar, enabled: scalar } } as const),
    routes: many({
      type: 'object',
      properties: { destination: scalar, nextHop: scalar, metric: scalar },
    } as const),
    gateways: { anyOf: [scalar, { type: 'array', items: scalar }] },
    dns: { anyOf: [scalar, { type: 'array', items: scalar }] },
    dnsSuffix: scalar,
  },
} as const;

const proxySchema = {
  type: ['object', 'null'],
  properties: { isEnabled: scalar, server: scalar, exceptions: scalar, script: scalar },
} as const;

const schema = {
  type: 'object',
  properties: { adapters: many(adapterSchema), winInet: proxySchema, winHttp: scalar },
} as const;

interface Adapter {
  readonly name?: Scalar;
  readonly mac?: Scalar;
  readonly permanentMac?: Scalar;
  readonly isWireless?: Scalar;
  readonly addresses?: Many<{ readonly address?: Scalar; readonly prefixLength?: Scalar; readonly origin?: Scalar }>;
  readonly dhcp?: Many<{ readonly family?: Scalar; readonly enabled?: Scalar }>;
  readonly routes?: Many<Route>;
  readonly gateways?: Many<Scalar>;
  readonly dns?: Many<Scalar>;
  readonly dnsSuffix?: Scalar;
}

interface Route {
  readonly destination?: Scalar;
  readonly nextHop?: Scalar;
  readonly metric?: Scalar;
}

/** What read-networks prints, its adapters as a list. */
export interface PrintedNetworks {
  readonly adapters: readonly Adapter[];
  readonly winInet: {
    readonly isEnabled: boolean;
    readonly server?: string;
    readonly exceptions?: string;
    readonly script?: string;
  };
  /** base64 */
  readonly winHttp?: string;
}

interface Printed {
  readonly adapters?: Many<Adapter>;
  readonly winInet?: {
    readonly isEnabled?: Scalar;
    readonly server?: Scalar;
    readonly exceptions?: Scalar;
    readonly script?: Scalar;
  } | null;
  readonly winHttp?: Scalar;
}

const shape = shapeOf<Printed>('read-networks', schema);

export function parseNetworks(printed: unknown): PrintedNetworks {
  const { adapters, winInet, winHttp } = shape(printed);
  const [server, exceptions, script] = [winInet?.server, winInet?.exceptions, winInet?.script].map(plainText);
  const settings = plainText(winHttp);
  return {
    adapters: listOf(adapters),
    winInet: {
      isEnabled: flag(winInet?.isEnabled),
      ...(server === undefined ? {} : { server }),
      ...(exceptions === undefined ? {} : { exceptions }),
      ...(script === undefined ? {} : { script }),
    },
    ...(settings === undefined ? {} : { winHttp: settings }),
  };
}

/** PrefixOrigin, AddressFamily and Dhcp of MSFT_NetIPAddress and MSFT_NetIPInterface, by name or number. */
const origins = { '1': 'manual', Manual: 'manual' } as const;
const families = { '2': 'v4', IPv4: 'v4', '23': 'v6', IPv6: 'v6' } as const;
const switches = { '1': 'on', Enabled: 'on' } as const;

/** The adapter as hardware, by the address that it keeps under another system; undefined for one without. */
export function hardwareOf(adapter: Adapter): NetworkInterface | undefined {
  const mac = macOf(adapter.permanentMac) ?? macOf(adapter.mac);
  if (mac === undefined) return undefined;
  return { name: plainText(adapter.name) ?? mac, mac, isWireless: flag(adapter.isWireless) };
}

/** "00-15-5D-01-02-03" and "00155D010203". */
function macOf(value: Scalar | undefined): string | undefined {
  const digits = plainText(value)?.replace(/[-:]/g, '').toLowerCase() ?? '';
  if (!/^[0-9a-f]{12}$/.test(digits) || /^0+$/.test(digits)) return undefined;
  return (digits.match(/../g) ?? []).join(':');
}

/** What someone wrote for the adapter: what DHCP and routers gave it, the new system gets again. */
export function settingsOf(adapter: Adapter): InterfaceSettings | undefined {
  const hardware = hardwareOf(adapter);
  if (hardware === undefined) return undefined;
  const addresses = listOf(adapter.addresses).flatMap(({ address, prefixLength, origin }) => {
    const found =
      named(origin, origins) === 'manual'
        ? cidr(plainText(address)?.replace(/%.*$/, '') ?? '', plainText(prefixLength))
        : undefined;
    return found === undefined ? [] : [found];
  });
  const hasDhcp = (family: 'v4' | 'v6'): boolean =>
    listOf(adapter.dhcp).some(
      (entry) => named(entry.family, families) === family && named(entry.enabled, switches) === 'on',
    );
  const hasManual = (family: 'v4' | 'v6'): boolean =>
    addresses.some((address) => address.includes(':') === (family === 'v6'));
  const routes = listOf(adapter.routes).flatMap((route) => routeOf(route) ?? []);
  const isDefault = ({ destination }: IpRoute): boolean => /^(0\.0\.0\.0|::)\/0$/.test(destination);
  const gateways = [
    ...routes.filter(isDefault).flatMap(({ gateway }) => gateway ?? []),
    ...texts(adapter.gateways),
  ].filter(isAddress);
  return {
    match: { mac: hardware.mac },
    source: `Windows' adapter ${quoted(hardware.name)}`,
    ...ipPair({
      // An adapter that is not connected shows neither; Windows' default is DHCP.
      dhcp4: hasDhcp('v4') || !hasManual('v4'),
      // Announced by routers, whatever its DHCP says.
      dhcp6: !hasManual('v6'),
      addresses,
      gateways: gateways.filter((gateway) => hasManual(gateway.includes(':') ? 'v6' : 'v4')),
      dns: texts(adapter.dns).filter(isAddress),
      dnsSearch: texts(adapter.dnsSuffix),
      routes: routes.filter((route) => !isDefault(route)),
    }),
  };
}

function routeOf(route: Route): IpRoute | undefined {
  const destination = plainText(route.destination);
  if (destination === undefined || cidr(destination) === undefined) return undefined;
  const gateway = plainText(route.nextHop);
  const metric = wholeNumber(route.metric);
  const isDirect = gateway === undefined || /^(0\.0\.0\.0|::)$/.test(gateway) || !isAddress(gateway);
  // 256 is what Windows gives where nobody chose (RouteMetric of New-NetRoute).
  return {
    destination,
    ...(isDirect ? {} : { gateway }),
    ...(metric === undefined || metric === 256 ? {} : { metric }),
  };
}

function texts(value: Many<Scalar> | undefined): string[] {
  return listOf(value).flatMap((item) => plainText(item) ?? []);
}
