import { joinPath } from '@migrate/core';
import type { App, AppsJson, Release, Service } from './apps-json-schema.ts';

/** A service with where it stands: `path` is its place in apps.json. */
export interface PlacedService {
  readonly path: string;
  readonly name: string;
  readonly service: Service;
}

export interface PlacedRelease {
  readonly path: string;
  readonly appUuid: string;
  readonly app: App;
  readonly releaseUuid: string;
  readonly release: Release;
  readonly services: readonly PlacedService[];
}

/** The release of each app that the supervisor takes: the first one. */
export function releasesOf(apps: AppsJson): readonly PlacedRelease[] {
  return Object.entries(apps.apps ?? {}).flatMap(([appUuid, app]) => {
    const [first] = Object.entries(app.releases);
    if (first === undefined) return [];
    const [releaseUuid, release] = first;
    const path = [appUuid, 'releases', releaseUuid].reduce(joinPath, 'apps');
    const services = Object.entries(release.services ?? {}).map(([name, service]) => ({
      path: [path, 'services', name].reduce(joinPath),
      name,
      service,
    }));
    return [{ path, appUuid, app, releaseUuid, release, services }];
  });
}

export function servicesOf(apps: AppsJson): readonly PlacedService[] {
  return releasesOf(apps).flatMap((release) => release.services);
}
