// One service of a compose file as the composition of a target state.
import { yamlFault } from '@migrate/core';
import { type ServiceForm, serviceForm } from './compose-schema.ts';
import { plainText, plainTexts, type Spot, spotAt, textMapping } from './compose-values.ts';

type Fields = Record<string, unknown>;
type Port = NonNullable<ServiceForm['ports']>[number];
type Volume = NonNullable<ServiceForm['volumes']>[number];

/** All fields that are passed on, but those with a place of their own in a target state, and `build`. */
const fields = Object.keys(serviceForm.properties).filter(
  (key) => !['build', 'environment', 'image', 'labels'].includes(key),
);

/** `form` must have passed the schema; what else is wrong goes to `spot.faults`. */
export function compositionOf(form: ServiceForm, spot: Spot): Fields {
  const composition: Fields = {};
  for (const [key, value] of Object.entries(form)) {
    if (value === null || value === undefined || !fields.includes(key)) continue;
    const field = fieldOf(key as keyof ServiceForm, value, { form, spot: spotAt(spot, key) });
    if (field !== undefined) composition[key] = field;
  }
  return composition;
}

function fieldOf(key: keyof ServiceForm, value: unknown, { form, spot }: { form: ServiceForm; spot: Spot }): unknown {
  switch (key) {
    case 'ports':
      return (form.ports ?? []).map((port, index) => portText(port, spotAt(spot, index)));
    case 'volumes':
      return (form.volumes ?? []).map((volume, index) => volumeValue(volume, spotAt(spot, index)));
    case 'depends_on':
      return dependencies(form.depends_on ?? [], spot);
    case 'sysctls':
      return textMapping(form.sysctls, spot);
    case 'extra_hosts':
      return Array.isArray(form.extra_hosts)
        ? plainTexts(form.extra_hosts, spot)
        : Object.entries(textMapping(form.extra_hosts, spot)).map(([name, address]) => `${name}:${address}`);
    case 'networks':
      return Array.isArray(value) ? plainTexts(value, spot) : networkMapping(form.networks, spot);
    default:
      return plainValue(value, spot);
  }
}

/** All fields below, with numbers as text: the supervisor reads sizes, ids and words so. Counts stay numbers. */
function plainValue(value: unknown, spot: Spot): unknown {
  if (typeof value === 'string') return plainText(value, spot);
  if (typeof value === 'number')
    return /\.(?:oom_score_adj|pids_limit|soft|hard|retries|ulimits\.\w+)$/.test(spot.path)
      ? value
      : plainText(value, spot);
  if (Array.isArray(value)) return value.map((item, index) => plainValue(item, spotAt(spot, index)));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, plainValue(part, spotAt(spot, key))]));
}

function portText(port: Port, spot: Spot): string {
  if (typeof port !== 'object') return plainText(port, spot);
  const { target, published, host_ip, protocol } = port;
  const outside = published === undefined ? '' : `${published}:`;
  // Only with a port outside can there be an address.
  const address = host_ip === undefined || outside === '' ? '' : `${host_ip}:`;
  return `${address}${outside}${target}${protocol === undefined ? '' : `/${protocol}`}`;
}

/** In the short form where that says everything; checked later, as that of any target state. */
function volumeValue(volume: Volume, spot: Spot): unknown {
  if (typeof volume === 'string') return plainText(volume, spot);
  const { type, source, target, read_only: isReadOnly, ...details } = volume;
  if (type !== 'volume' || Object.keys(details).length > 0) return plainValue(volume, spot);
  if (source === undefined) return plainText(target, spotAt(spot, 'target'));
  const [from, to] = [plainText(source, spotAt(spot, 'source')), plainText(target, spotAt(spot, 'target'))];
  return `${from}:${to}${isReadOnly === true ? ':ro' : ''}`;
}

/** The supervisor knows only the list, and waits until a service has been started, not until it is healthy. */
function dependencies(value: NonNullable<ServiceForm['depends_on']>, spot: Spot): string[] {
  if (Array.isArray(value)) return plainTexts(value, spot);
  for (const [name, details] of Object.entries(value)) {
    const condition =
      typeof details === 'object' && details !== null && 'condition' in details ? details.condition : 'service_started';
    if (condition === 'service_started') continue;
    const at = spotAt(spot, name);
    const message = 'the supervisor waits until this service is started, and for nothing more';
    const fault = yamlFault(
      'ignored',
      at.place?.offset ?? 0,
      message,
      'Let the program wait, or write service_started',
    );
    spot.faults.push({ ...fault, path: at.path, severity: 'warning' });
  }
  return Object.keys(value);
}

function networkMapping(value: ServiceForm['networks'], spot: Spot): Fields {
  const entries = Object.entries(value ?? {});
  return Object.fromEntries(entries.map(([name, network]) => [name, plainValue(network ?? {}, spotAt(spot, name))]));
}
