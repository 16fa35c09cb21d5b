// apps.json with apps under their numbers (state v2), as older tools write it. The supervisor converts it only with the internet:
// it must ask for the uuid of each app (balena-supervisor src/lib/legacy.ts). Here the uuids are given.
import { joinPath } from '@migrate/core';
import type { WeighedFault } from './json-schema-faults.ts';

/** What the form v2 does not tell. */
export interface V2Ids {
  /** Uuid of the only app, or of apps by their numbers. */
  readonly appUuid?: string | ReadonlyMap<number, string>;
}

type Fields = Readonly<Record<string, unknown>>;

/** The supervisor's NumericIdentifier. */
export function isNumericId(key: string): boolean {
  return !Number.isNaN(+key) && +key === Number.parseInt(key, 10) && +key >= 0;
}

/** The same in today's form, not yet checked; or why that cannot be. */
export function convertV2(file: Fields, { appUuid }: V2Ids): { value: unknown; faults: readonly WeighedFault[] } {
  const entries = Object.entries(fieldsOf(file.apps));
  const faults: WeighedFault[] = [];
  const apps: [string, unknown][] = [];
  for (const [key, app] of entries) {
    const path = joinPath('apps', key);
    if (!isNumericId(key)) {
      faults.push(
        refused(
          path,
          'this key is no number, but others are; the supervisor refuses both forms in one',
          'Give all apps by uuid',
        ),
      );
      continue;
    }
    const uuid = typeof appUuid === 'string' ? (entries.length === 1 ? appUuid : undefined) : appUuid?.get(Number(key));
    if (uuid === undefined) {
      const hint = 'Give the uuid of the app (its page on the dashboard shows it), or download the target state again';
      faults.push(refused(path, 'this is the older form, which the supervisor can only read with the internet', hint));
      continue;
    }
    if (isNumericId(uuid)) {
      faults.push(
        refused(
          path,
          'the uuid is a number, and the supervisor would take the file for the older form',
          'Give the uuid',
        ),
      );
      continue;
    }
    apps.push([uuid, convertApp(Number(key), fieldsOf(app))]);
  }
  if (new Set(apps.map(([uuid]) => uuid)).size < apps.length) {
    faults.push(refused('apps', 'two apps have the same uuid', 'Give each its own'));
  }
  return { value: { ...file, apps: Object.fromEntries(apps) }, faults };
}

function convertApp(id: number, app: Fields): unknown {
  const { commit, releaseId, services, volumes, networks, name } = app;
  const release = {
    id: releaseId,
    services: Object.fromEntries(
      Object.entries(fieldsOf(services)).map(([key, service]) => convertService(key, fieldsOf(service))),
    ),
    volumes: volumes ?? {},
    networks: networks ?? {},
  };
  return { id, name, class: 'fleet', releases: typeof commit === 'string' ? { [commit]: release } : {} };
}

function convertService(id: string, service: Fields): [string, unknown] {
  const {
    imageId,
    serviceName,
    image,
    environment,
    labels,
    running,
    serviceId: _serviceId,
    contract,
    ...composition
  } = service;
  const given = { running, contract };
  return [
    String(serviceName),
    {
      id,
      image_id: imageId,
      image,
      environment,
      labels,
      ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)),
      composition,
    },
  ];
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function refused(path: string, message: string, hint: string): WeighedFault {
  return { severity: 'error', code: 'v2', path, message, hint };
}
