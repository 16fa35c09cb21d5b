// What the schema of apps.json cannot say: how apps, releases and images stand to each other.
import { joinPath, quoted } from '@migrate/core';
import type { AppsJson } from './apps-json-schema.ts';
import { checkComposition } from './check-composition.ts';
import { isImageId, parseImageName } from './image-name.ts';
import type { WeighedFault } from './json-schema-faults.ts';
import { releasesOf, servicesOf } from './services-of.ts';

/** `apps` must have passed the schema. */
export function checkApps(apps: AppsJson): readonly WeighedFault[] {
  const releases = releasesOf(apps);
  return [
    ...releases.flatMap(checkComposition),
    ...imageFaults(apps),
    ...severalReleases(apps),
    ...sameIds(apps),
    ...fleets(apps),
    ...(servicesOf(apps).length > 0 ? [] : [nothingToStart]),
  ];
}

const nothingToStart: WeighedFault = {
  severity: 'warning',
  code: 'empty',
  path: 'apps',
  message: 'there is no service in it, so the device starts nothing before it is online',
  hint: 'Give the target state of a device whose release is set',
};

function imageFaults(apps: AppsJson): WeighedFault[] {
  return servicesOf(apps).flatMap(({ path, service }) => {
    if (parseImageName(service.image) !== undefined) return [];
    const isId = isImageId(service.image);
    return [
      {
        severity: 'error',
        code: 'image',
        path: joinPath(path, 'image'),
        message: isId
          ? 'this is the id of an image; the supervisor must give it a tag, which fails, and then starts nothing at all'
          : 'this is not the name of an image, and the supervisor would start nothing at all',
        hint: isId
          ? 'Write a name of that image, repository:tag'
          : 'Write [registry/]repository[:tag][@digest], in small letters',
      },
    ];
  });
}

function severalReleases(apps: AppsJson): WeighedFault[] {
  return Object.entries(apps.apps ?? {}).flatMap(([uuid, app]) => {
    const [first, ...others] = Object.keys(app.releases);
    if (first === undefined || others.length === 0) return [];
    const message = `${others.length + 1} releases are given; the supervisor takes ${quoted(first)} and forgets the others`;
    const path = ['apps', uuid, 'releases'].reduce(joinPath);
    return [{ severity: 'warning', code: 'releases', path, message, hint: 'Keep the one that the device is to run' }];
  });
}

/** The supervisor keeps apps by uuid, but names volumes by id. */
function sameIds(apps: AppsJson): WeighedFault[] {
  const seen = new Set<number>();
  return Object.entries(apps.apps ?? {}).flatMap(([uuid, app]) => {
    const id = Number(app.id);
    if (!seen.has(id)) {
      seen.add(id);
      return [];
    }
    const path = ['apps', uuid, 'id'].reduce(joinPath);
    const message = `another app has the id ${id}, and their volumes would be the same`;
    return [{ severity: 'error', code: 'id', path, message, hint: 'Give each app its own id' }];
  });
}

function fleets(apps: AppsJson): WeighedFault[] {
  const count = Object.values(apps.apps ?? {}).filter((app) => (app.class ?? 'fleet') === 'fleet').length;
  if (count <= 1) return [];
  const message = `${count} apps are of the class fleet; a device belongs to one`;
  return [
    { severity: 'warning', code: 'fleets', path: 'apps', message, hint: 'Give the others the class app or block' },
  ];
}
