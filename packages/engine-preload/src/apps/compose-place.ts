import type { YamlPlace } from '@migrate/core';

/** The place of `services.main.ports[0]`, or of the deepest part of it that the file has. */
export function placeOf(root: YamlPlace, path: string): YamlPlace {
  let place = root;
  for (const word of path.match(/"(?:[^"\\]|\\.)*"|[^.[\]]+/g) ?? []) {
    const next = place.items?.[Number(word)] ?? place.keys?.get(word.startsWith('"') ? JSON.parse(word) : word);
    if (next === undefined) break;
    place = next;
  }
  return place;
}
