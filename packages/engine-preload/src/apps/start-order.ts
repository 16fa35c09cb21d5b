// Services that wait for each other in a circle never start.
import { joinPath } from '@migrate/core';
import type { WeighedFault } from './json-schema-faults.ts';
import { composeField } from './service-fields.ts';
import type { PlacedService } from './services-of.ts';

/** One fault for the first circle found, if there is one. `path` is that of the release. */
export function startOrderFaults(path: string, services: readonly PlacedService[]): readonly WeighedFault[] {
  const waiting = new Map(services.map(({ name, service }) => [name, new Set(awaitedBy(service.composition ?? {}))]));
  // Takes out, round after round, whoever waits for nobody that is left.
  for (;;) {
    const free = [...waiting].filter(([, names]) => ![...names].some((name) => waiting.has(name)));
    if (free.length === 0) break;
    for (const [name] of free) waiting.delete(name);
  }
  if (waiting.size === 0) return [];
  const circle = circleIn(waiting);
  return [
    {
      severity: 'error',
      code: 'circle',
      path: joinPath(path, 'services'),
      message: `these services wait for each other and would never start: ${circle.join(' -> ')}`,
      hint: 'Remove one of them from depends_on or network_mode',
    },
  ];
}

function awaitedBy(composition: Readonly<Record<string, unknown>>): readonly string[] {
  return Object.entries(composition).flatMap(([key, value]) => {
    const field = composeField(key);
    if (field === 'depends_on' && Array.isArray(value)) return value.map(String);
    if (field === 'network_mode' && typeof value === 'string') return /^service:\s*(.+)$/.exec(value)?.slice(1) ?? [];
    return [];
  });
}

/** Every one that is left waits for another that is left. */
function circleIn(waiting: ReadonlyMap<string, ReadonlySet<string>>): readonly string[] {
  const visited: string[] = [];
  let current = [...waiting.keys()][0] ?? '';
  while (!visited.includes(current)) {
    visited.push(current);
    current = [...(waiting.get(current) ?? [])].find((name) => waiting.has(name)) ?? '';
  }
  return [...visited.slice(visited.indexOf(current)), current];
}
