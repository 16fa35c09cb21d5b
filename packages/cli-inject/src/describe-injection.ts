import { type Injection, shownName } from '@migrate/engine-preload';

/** What will be done, for a person. */
export function describeInjection({ request, images, appsJson, bootFiles, unused }: Injection, target: string): string {
  const lines = [
    `From ${request.source.label} into ${target}:`,
    ...images.map(
      ({ id, references }) =>
        `  image ${id.slice('sha256:'.length, 'sha256:'.length + 12)} ${references.map(shownName).join(', ')}`,
    ),
    ...(appsJson === undefined
      ? ['  no apps.json: the images will lie there, but no service is started from them while the device is offline']
      : [`  apps.json with the services ${appsJson.serviceNames.join(', ')}`]),
    ...bootFiles.map(({ path }) => `  resin-boot${path}`),
    ...(appsJson === undefined
      ? []
      : unused.map(
          ({ id, references }) =>
            `note: no service uses ${references[0] === undefined ? id : shownName(references[0])}`,
        )),
  ];
  return `${lines.join('\n')}\n`;
}
