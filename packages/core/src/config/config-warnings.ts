// What is accepted in a configuration file but deserves a word.
import { configSchema } from './config-schema.ts';
import { andList } from './setting-words.ts';
import type { YamlFault } from './yaml-syntax.ts';
import { joinPath, type Place } from './yaml-values.ts';

const fsSettings = Object.keys(configSchema.properties.balena.properties.image.properties.fs.properties);

/**
 * Takes settings of `balena.image.fs` out of `balena.image` and `balena.image.dd`, where a whole image is given: the sample of the
 * original README has them there, left over from an `fs:` that is commented out. They have no effect.
 */
export function takeMisplaced(file: unknown, root: Place): readonly YamlFault[] {
  const image = section(section(section(file)?.balena)?.image);
  const wholeImage = section(image?.dd);
  if (image === undefined || wholeImage === undefined) return [];
  const imagePlace = root.keys?.get('balena')?.keys?.get('image');
  return [
    ...takeFrom(image, imagePlace, 'balena.image'),
    ...takeFrom(wholeImage, imagePlace?.keys?.get('dd'), 'balena.image.dd'),
  ];
}

function takeFrom(values: Record<string, unknown>, place: Place | undefined, path: string): YamlFault[] {
  const names = Object.keys(values).filter((key) => fsSettings.includes(key));
  const [first] = names;
  if (first === undefined) return [];
  for (const name of names) delete values[name];
  return [
    {
      code: 'misplaced-setting',
      offset: place?.keys?.get(first)?.offset ?? 0,
      path: joinPath(path, first),
      message: `ignored here: ${andList(names)}`,
      hint: 'Remove them: dd writes the whole image; they only count under balena.image.fs',
    },
  ];
}

/** Warnings about a file without faults: hashes that do not protect, and keys that are not used. */
export function checkedButOdd(file: unknown, root: Place): readonly YamlFault[] {
  return [...weakHashes(file, root), ...apiKey(file, root)];
}

function weakHashes(file: unknown, root: Place): YamlFault[] {
  const found: { offset: number; path: string }[] = [];
  const search = (value: unknown, place: Place | undefined, path: string): void => {
    if (Array.isArray(value)) {
      for (const [index, item] of value.entries()) search(item, place?.items?.[index], `${path}[${index}]`);
      return;
    }
    for (const [key, part] of Object.entries(section(value) ?? {})) {
      const child = place?.keys?.get(key);
      if (key === 'md5' || key === 'sha1') found.push({ offset: child?.offset ?? 0, path: joinPath(path, key) });
      else search(part, child, joinPath(path, key));
    }
  };
  search(file, root, '');
  const [first] = found;
  if (first === undefined) return [];
  const others = found.length > 1 ? ` (and ${found.length - 1} more of md5 or sha1)` : '';
  return [
    {
      ...first,
      code: 'weak-hash',
      message: `this hash finds a damaged copy, but not a forged one${others}`,
      hint: 'Use sha256, as printed by sha256sum',
    },
  ];
}

function apiKey(file: unknown, root: Place): YamlFault[] {
  const api = section(section(section(file)?.balena)?.api);
  if (typeof api?.key !== 'string') return [];
  const place = root.keys?.get('balena')?.keys?.get('api')?.keys?.get('key');
  return [
    {
      code: 'unused-setting',
      offset: place?.offset ?? 0,
      path: 'balena.api.key',
      message: 'this key is never used',
      hint: 'Remove it: the key in config.json is the one that counts',
    },
  ];
}

function section(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}
