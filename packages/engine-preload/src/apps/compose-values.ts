// Values of a compose file in the one form of each that the supervisor takes.
import { joinPath, type YamlPlace, yamlFault } from '@migrate/core';
import type { ComposeFault } from './compose-fields.ts';

/** A value with where it stands. */
export interface Spot {
  readonly place: YamlPlace | undefined;
  readonly path: string;
  readonly faults: ComposeFault[];
}

type Scalar = string | number;

/** Text with `$$` as the sign `$`; variables are refused, since nothing would fill them in. Numbers as they are written. */
export function plainText(value: Scalar, { place, path, faults }: Spot): string {
  if (typeof value === 'number') return place?.source ?? String(value);
  const variable = /(?<!\$)(?:\$\$)*\$(?:\{|[a-zA-Z_])/.exec(value);
  if (variable !== null) {
    const message = 'a variable ($NAME) stands here, and nothing would fill it in';
    const fault = yamlFault(
      'variable',
      place?.offset ?? 0,
      message,
      'Write its value; the sign $ itself is written $$',
    );
    faults.push({ ...fault, path, severity: 'error' });
  }
  return value.replaceAll('$$', '$');
}

/** The part of a list or mapping at `key`. */
export function spotAt(spot: Spot, key: string | number): Spot {
  const place = typeof key === 'number' ? spot.place?.items?.[key] : spot.place?.keys?.get(key);
  return {
    ...spot,
    place: place ?? spot.place,
    path: typeof key === 'number' ? `${spot.path}[${key}]` : joinPath(spot.path, key),
  };
}

export function plainTexts(values: readonly Scalar[], spot: Spot): string[] {
  return values.map((value, index) => plainText(value, spotAt(spot, index)));
}

/** `{name: value}` and `["name=value"]`. A name without a value is refused: docker would take it from the shell. */
export function textMapping(
  value: { readonly [name: string]: unknown } | readonly Scalar[] | null | undefined,
  spot: Spot,
): Record<string, string> {
  if (value === null || value === undefined) return {};
  const entries = Array.isArray(value)
    ? value.map((item: Scalar, index) => splitEntry(plainText(item, spotAt(spot, index)), spotAt(spot, index)))
    : Object.entries(value).map(([key, part]): [string, string] => {
        const at = spotAt(spot, key);
        return typeof part === 'string' || typeof part === 'number' ? [key, plainText(part, at)] : [key, noValue(at)];
      });
  return Object.fromEntries(entries);
}

function splitEntry(text: string, spot: Spot): [string, string] {
  const equals = text.indexOf('=');
  return equals === -1 ? [text, noValue(spot)] : [text.slice(0, equals), text.slice(equals + 1)];
}

function noValue({ place, path, faults }: Spot): string {
  const hint = 'Write the value; "" for an empty one';
  faults.push({ ...yamlFault('value', place?.offset ?? 0, 'it has no value', hint), path, severity: 'error' });
  return '';
}
