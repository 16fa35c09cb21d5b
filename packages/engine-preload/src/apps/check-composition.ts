// Checks how the services of a release hang together. The supervisor takes all of this as it comes, and then ignores a part, or
// fails at each attempt to start: balena-supervisor src/compose/{service,ports,app,utils}.ts.
import { joinPath, nearKey, quoted } from '@migrate/core';
import type { WeighedFault } from './json-schema-faults.ts';
import { composeField, passedFields } from './service-fields.ts';
import type { PlacedRelease, PlacedService } from './services-of.ts';
import { startOrderFaults } from './start-order.ts';

type Names = { readonly [kind in 'services' | 'volumes' | 'networks']: readonly string[] };

const portPattern = /^(?:(?:[a-fA-F\d.:]+:)?(\d*)(?:-(\d+))?:)?(\d+)(?:-(\d+))?(?:\/(?:udp|tcp))?$/;
const restartPolicies = ['no', 'always', 'on-failure', 'unless-stopped'];

/** Faults of one release: references that lead nowhere, and what has no effect on a device. */
export function checkComposition({ path, release, services }: PlacedRelease): readonly WeighedFault[] {
  const names: Names = {
    services: services.map((service) => service.name),
    volumes: Object.keys(release.volumes ?? {}),
    networks: ['default', ...Object.keys(release.networks ?? {})],
  };
  return [...services.flatMap((service) => checkService(service, names)), ...startOrderFaults(path, services)];
}

function checkService(placed: PlacedService, names: Names): WeighedFault[] {
  const base = joinPath(placed.path, 'composition');
  return Object.entries(placed.service.composition ?? {}).flatMap(([key, value]) => {
    const at = joinPath(base, key);
    const field = composeField(key);
    if (!passedFields.has(field)) return [ignored(at, `the supervisor ignores ${quoted(key)}`, 'Remove it')];
    switch (field) {
      case 'ports':
        return listOf(value).flatMap((port, index) => portFaults(port, `${at}[${index}]`));
      case 'volumes':
        return listOf(value).flatMap((volume, index) => volumeFaults(volume, `${at}[${index}]`, names));
      case 'networks':
        return networkNames(value).flatMap((name) => missingName('network', name, { at, names: names.networks }));
      case 'network_mode':
        return networkModeFaults(value, at, names);
      case 'depends_on':
        return dependencyFaults(value, at, names);
      case 'devices':
        return listOf(value).flatMap((device, index) =>
          typeof device === 'string'
            ? []
            : [wrong(`${at}[${index}]`, 'a device must be text', 'Write "/dev/x:/dev/x"')],
        );
      case 'restart':
        return typeof value === 'string' && restartPolicies.includes(value.toLowerCase().trim())
          ? []
          : [ignored(at, 'the supervisor takes "always" for this', `Write one of ${restartPolicies.join(', ')}`)];
      default:
        return [];
    }
  });
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : value === null ? [] : [undefined];
}

function portFaults(port: unknown, at: string): WeighedFault[] {
  const found = typeof port === 'string' ? portPattern.exec(port) : null;
  if (found === null) return [wrong(at, 'this is no port', 'Write "80", "8080:80" or "8080-8090:80-90/udp"')];
  const [, outside, outsideEnd, inside, insideEnd] = found;
  const numbers = [outside, outsideEnd, inside, insideEnd].filter((text) => text !== undefined && text !== '');
  if (numbers.some((text) => Number(text) > 65_535)) return [wrong(at, 'there is no such port', 'Ports end at 65535')];
  const width = Number(insideEnd ?? inside) - Number(inside);
  const outsideWidth = outsideEnd === undefined ? width : Number(outsideEnd) - Number(outside);
  // Nothing before the colon is taken for a number that is none.
  if (outside === '') return [wrong(at, 'there is no port before the colon', 'Write "80", or "8080:80"')];
  // `8080:80-90` is taken for 8080-90, whose width is another.
  const isEven = width >= 0 && outsideWidth === width && (width === 0 || !outside || outsideEnd !== undefined);
  return isEven ? [] : [wrong(at, 'the two ranges of ports are not of the same length', 'Make them equal')];
}

function volumeFaults(volume: unknown, at: string, names: Names): WeighedFault[] {
  const source = sourceOf(volume);
  if (source === 'nothing') {
    return [ignored(at, 'the supervisor ignores this volume', 'Write "name:/path", and the name under volumes')];
  }
  if (source === undefined) return [];
  if (/^[./~]/.test(source)) {
    const hint = 'Use a named volume, or a label such as io.balena.features.dbus for what belongs to the system';
    return [ignored(at, 'the supervisor ignores bind mounts', hint)];
  }
  return missingName('volume', source, { at, names: names.volumes });
}

/** Name or path of what is mounted; undefined for what has no name. */
function sourceOf(volume: unknown): string | undefined | 'nothing' {
  if (typeof volume === 'string') return volume.includes(':') ? volume.split(':')[0]?.trim() : undefined;
  if (typeof volume !== 'object' || volume === null || !('type' in volume)) return 'nothing';
  const source = 'source' in volume && typeof volume.source === 'string' ? volume.source : undefined;
  if (volume.type === 'tmpfs') return source === undefined ? undefined : 'nothing';
  if (volume.type === 'bind') return source?.startsWith('/') ? source : 'nothing';
  return volume.type === 'volume' ? source : 'nothing';
}

function networkNames(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.map(String);
  return typeof value === 'object' && value !== null ? Object.keys(value) : [];
}

function networkModeFaults(value: unknown, at: string, names: Names): WeighedFault[] {
  if (typeof value !== 'string') return [wrong(at, 'must be text', 'Write host, bridge, none or service:NAME')];
  if (['host', 'bridge', 'none'].includes(value)) return [];
  const [, kind, name = ''] = /^(service|container):\s*(.+)$/.exec(value) ?? [];
  if (kind === 'container')
    return [ignored(at, 'the supervisor ignores the network of a container', 'Use service:NAME')];
  if (kind === 'service') return missingName('service', name, { at, names: names.services });
  return missingName('network', value, { at, names: names.networks });
}

function dependencyFaults(value: unknown, at: string, names: Names): WeighedFault[] {
  if (!Array.isArray(value)) {
    return [wrong(at, 'must be a list of services; the supervisor fails on any other form', 'Write ["name", …]')];
  }
  return value.flatMap((name) => missingName('service', String(name), { at, names: names.services }));
}

function missingName(
  kind: 'service' | 'volume' | 'network',
  name: string,
  { at, names }: { at: string; names: readonly string[] },
): WeighedFault[] {
  if (names.includes(name)) return [];
  const meant = nearKey(name, names);
  const hint = meant === undefined ? `Add it to ${kind}s of the release` : `Did you mean ${quoted(meant)}?`;
  return [{ ...wrong(at, `there is no ${kind} ${quoted(name)}`, hint), code: 'reference' }];
}

function wrong(path: string, message: string, hint: string): WeighedFault {
  return { severity: 'error', code: 'value', path, message, hint };
}

function ignored(path: string, message: string, hint: string): WeighedFault {
  return { severity: 'warning', code: 'ignored', path, message, hint };
}
