// Fields of compose files that do not reach a container on balenaOS: named with a warning where the device runs without them as
// any balenaOS device would, refused where the containers would not be what the file asks for.
import { joinPath, nearKey, quoted, type YamlFault, type YamlPlace, yamlFault } from '@migrate/core';
import { composeSchema, serviceForm } from './compose-schema.ts';

export interface ComposeFault extends YamlFault {
  readonly severity: 'error' | 'warning';
}

const withoutEffect: Readonly<Record<string, string>> = {
  container_name: 'the supervisor names containers itself',
  expose: 'services reach each other without it',
  links: 'services reach each other by their names; other names need networks.<name>.aliases',
  logging: 'the supervisor chooses how containers log',
  deploy: 'there is one container of each service',
  scale: 'there is one container of each service',
  platform: 'the image is there already',
  pull_policy: 'the image is there already',
  stdin_open: 'nobody sits before the device',
  attach: 'nobody sits before the device',
  develop: 'it is for building',
  annotations: 'the supervisor does not pass them on',
  isolation: 'it is for Windows',
  blkio_config: 'the supervisor does not pass it on',
  cpu_count: 'the supervisor does not pass it on',
  cpu_percent: 'the supervisor does not pass it on',
  cpu_period: 'the supervisor does not pass it on',
  memswap_limit: 'the supervisor does not pass it on',
  mem_swappiness: 'the supervisor does not pass it on',
};

const refusedFields: Readonly<Record<string, string>> = {
  env_file: 'Write the variables under environment',
  extends: 'Write the service in full, or use an anchor and "<<"',
  profiles: 'Remove the services that are not meant, and this field from the others',
  secrets: 'Use a volume or environment',
  configs: 'Use a volume, or put the files into the image',
  volumes_from: 'Name the volumes under volumes',
  external_links: 'Give all services in one file',
  volume_driver: 'Give the driver under volumes',
  runtime: 'Remove it: the engine of balenaOS has one runtime',
  gpus: 'Use devices and the labels of balenaOS',
  credential_spec: 'Remove it',
  include: 'Write all services into one file',
};

const files = Object.keys(composeSchema.properties);
const services = Object.keys(serviceForm.properties);
const volumes = ['driver', 'driver_opts', 'labels'];
const networks = [...volumes, 'ipam', 'internal', 'enable_ipv6', 'config_only'];

/** Every field that is not passed on, with its place. */
export function unsupportedFields(root: YamlPlace): readonly ComposeFault[] {
  const part = (name: string) =>
    [...(root.keys?.get(name)?.keys ?? [])].map(([key, place]) => ({ path: joinPath(name, key), place }));
  return [
    ...fieldFaults(root, { path: '', known: files }),
    ...part('services').flatMap(({ path, place }) => fieldFaults(place, { path, known: services })),
    ...part('volumes').flatMap(({ path, place }) => fieldFaults(place, { path, known: volumes })),
    ...part('networks').flatMap(({ path, place }) => fieldFaults(place, { path, known: networks })),
  ];
}

function fieldFaults(place: YamlPlace, { path, known }: { path: string; known: readonly string[] }): ComposeFault[] {
  return [...(place.keys ?? [])].flatMap(([key, { offset }]) => {
    // Fields that begin so are for other tools, and for anchors.
    if (known.includes(key) || key.startsWith('x-')) return [];
    const at = { ...faultOf(key, known, offset), path: joinPath(path, key) };
    return [{ ...at, severity: at.code === 'ignored' ? ('warning' as const) : ('error' as const) }];
  });
}

function faultOf(key: string, known: readonly string[], offset: number): YamlFault {
  const isService = known === services;
  const reason = isService ? withoutEffect[key] : undefined;
  if (reason !== undefined) return yamlFault('ignored', offset, `${key} has no effect: ${reason}`, 'Remove it');
  const cure = refusedFields[key];
  if (cure !== undefined) return yamlFault('unsupported', offset, `${key} is not supported on balenaOS`, cure);
  if (key === 'external' || key === 'name') {
    const message = `${key} is not supported on balenaOS, where volumes and networks belong to one app`;
    return yamlFault('unsupported', offset, message, 'Remove it');
  }
  const meant = nearKey(key, known);
  const hint = meant === undefined ? `Remove it; known here: ${known.join(', ')}` : `Did you mean ${meant}?`;
  return yamlFault('unknown-setting', offset, `there is no field ${quoted(key)} here`, hint);
}
