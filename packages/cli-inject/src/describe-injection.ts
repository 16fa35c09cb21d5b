import { type Injection, shortId, shownName } from '@migrate/engine-preload';

/** What will be done, for a person. */
export function describeInjection(
  { request, images, appsJson, bootFiles, takenNames, unused }: Injection,
  target: string,
): string {
  const lines = [
    `From ${request.source.label} into ${target}:`,
    ...images.map(({ id, references }) => `  image ${shortId(id)} ${references.map(shownName).join(', ')}`),
    ...takenNames.map(({ reference, target: there, source }) =>
      request.onTakenName === 'move'
        ? `  the name ${shownName(reference)} moves from image ${shortId(there)}, which was there, to ${shortId(source)}`
        : `  the name ${shownName(reference)} stays with image ${shortId(there)}, which was there; ${shortId(source)} does not get it`,
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
