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
    case 'healthcheck':
      return healthcheckValue(plainValue(value, spot) as Fields);
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
  const { target, published, host_ip: address, protocol, ...others } = port;
  for (const key of Object.keys(others)) {
    ignored(spotAt(spot, key), `the supervisor ignores ${key} of a port`, 'Remove it');
  }
  const outside = published === undefined ? '' : `${published}:`;
  // An address without a port outside is found by the check of all ports.
  const host = address === undefined ? '' : `${address}:${outside === '' ? ':' : ''}`;
  return `${host}${outside}${target}${protocol === undefined ? '' : `/${protocol}`}`;
}

/**
 * In the short form where that says everything; checked later, as that of any target state. In the long form the supervisor
 * reads `readOnly` (balena-supervisor src/compose/types/service.ts).
 */
function volumeValue(volume: Volume, spot: Spot): unknown {
  if (typeof volume === 'string') return plainText(volume, spot);
  const { read_only: isReadOnly, ...others } = volume;
  const { type, source, target, ...details } = others;
  if (type !== 'volume' || Object.keys(details).length > 0) {
    const plain = plainValue(others, spot) as Fields;
    return isReadOnly === undefined ? plain : { ...plain, readOnly: isReadOnly };
  }
  const to = plainText(target, spotAt(spot, 'target'));
  if (source === undefined) return to;
  return `${plainText(source, spotAt(spot, 'source'))}:${to}${isReadOnly === true ? ':ro' : ''}`;
}

/** The supervisor knows only the list, and waits until a service has been started, not until it is healthy. */
function dependencies(value: NonNullable<ServiceForm['depends_on']>, spot: Spot): string[] {
  if (Array.isArray(value)) return plainTexts(value, spot);
  for (const [name, details] of Object.entries(value)) {
    const condition =
      typeof details === 'object' && details !== null && 'condition' in details ? details.condition : 'service_started';
    if (condition === 'service_started') continue;
    const message = 'the supervisor waits until this service is started, and for nothing more';
    ignored(spotAt(spot, name), message, 'Let the program wait, or write service_started');
  }
  return Object.keys(value);
}

/** The supervisor knows the one long word only so (balena-supervisor src/compose/utils.ts). */
function healthcheckValue({ start_period: startPeriod, ...others }: Fields): Fields {
  return startPeriod === undefined ? others : { ...others, startPeriod };
}

function networkMapping(value: ServiceForm['networks'], spot: Spot): Fields {
  const entries = Object.entries(value ?? {});
  return Object.fromEntries(entries.map(([name, network]) => [name, plainValue(network ?? {}, spotAt(spot, name))]));
}

function ignored({ place, path, faults }: Spot, message: string, hint: string): void {
  faults.push({ ...yamlFault('ignored', place?.offset ?? 0, message, hint), path, severity: 'warning' });
}
