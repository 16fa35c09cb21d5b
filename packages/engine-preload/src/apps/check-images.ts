// Whether the supervisor will find the image of each service in the engine. On its first start it looks up every image of
// apps.json before it takes anything over: one that is missing, and the device starts nothing until it is online
// (balena-supervisor src/device-state/preload.ts; src/compose/images.ts, inspectByName).
import { type Finding, joinPath, quoted } from '@migrate/core';
import { repositoryOf } from '../root/repositories.ts';
import type { AppsJson } from './apps-json-schema.ts';
import { engineReference, type ImageName, parseImageName, shownName } from './image-name.ts';
import { type PlacedService, servicesOf } from './services-of.ts';

/** An image of a data root: its id (`sha256:…`) and its names in repositories.json, by tag and by digest. */
export interface InjectedImage {
  readonly id: string;
  readonly references: readonly string[];
}

export interface ImageCheck {
  readonly findings: readonly Finding[];
  /** Images that no service uses. */
  readonly unused: readonly InjectedImage[];
}

/** `images`: all that the engine will have, those injected now and those that are there already. */
export function checkServiceImages(apps: AppsJson, images: readonly InjectedImage[], fileName: string): ImageCheck {
  const findings: Finding[] = [];
  const used = new Set<string>();
  for (const placed of servicesOf(apps)) {
    const found = findImage(placed.service.image, images);
    if (found.image !== undefined) used.add(found.image.id);
    if (found.fault !== undefined) findings.push(findingOf(placed, found.fault, fileName));
  }
  return { findings, unused: images.filter((image) => !used.has(image.id)) };
}

type Fault = Pick<Finding, 'severity' | 'message' | 'hint'>;

/** The image that the engine and the supervisor will take for a service's `image`; a fault may come with it. */
export function findImage(text: string, images: readonly InjectedImage[]): { image?: InjectedImage; fault?: Fault } {
  const name = parseImageName(text);
  if (name === undefined) return findById(text, images);
  const wanted = engineReference(name);
  const exact = images.find((image) => image.references.includes(wanted));
  if (exact !== undefined) return { image: exact };
  return name.digest === undefined ? absent(name, images) : findByRepository(name, images);
}

/** With a digest that the engine does not know, the supervisor takes the first image of the repository. */
function findByRepository(name: ImageName, images: readonly InjectedImage[]): { image?: InjectedImage; fault?: Fault } {
  const repository = repositoryOf(engineReference(name));
  const [first, ...others] = images.filter((image) =>
    image.references.some((text) => repositoryOf(text) === repository),
  );
  if (first === undefined) return absent(name, images);
  if (others.length > 0) {
    const message = `no image has the digest of ${engineReference(name)}, and ${others.length + 1} have its repository: which one starts is chance`;
    return { fault: { severity: 'error', message, hint: 'Inject the image under its digest, as it was pulled' } };
  }
  const message = `no image has the digest of ${engineReference(name)}; the supervisor will take the only one of its repository, whatever it holds`;
  return { image: first, fault: { severity: 'warning', message, hint: 'Make sure that this image is meant' } };
}

/** The supervisor finds an image by its id, but then cannot give it a tag. */
function findById(text: string, images: readonly InjectedImage[]): { image?: InjectedImage; fault?: Fault } {
  const image = imageOfId(text, images);
  const [reference] = image?.references ?? [];
  const hint =
    reference === undefined ? 'Write the name of an injected image, repository:tag' : `Write ${shownName(reference)}`;
  const fault: Fault = { severity: 'error', message: `${quoted(text)} is not the name of an image`, hint };
  return image === undefined ? { fault } : { image, fault };
}

/** The image with this id, or with this start of an id of at least 12 digits. */
export function imageOfId(text: string, images: readonly InjectedImage[]): InjectedImage | undefined {
  const digits = /^(?:sha256:)?([0-9a-f]{12,64})$/.exec(text)?.[1];
  if (digits === undefined) return undefined;
  const found = images.filter((image) => image.id.startsWith(`sha256:${digits}`));
  return found.length === 1 ? found[0] : undefined;
}

function absent(name: ImageName, images: readonly InjectedImage[]): { fault: Fault } {
  const repository = repositoryOf(engineReference(name));
  const others = images.flatMap((image) => image.references).filter((text) => repositoryOf(text) === repository);
  const hint =
    others.length > 0
      ? `There is ${others.slice(0, 3).map(shownName).join(', ')}; write one of these, or inject the other`
      : 'Inject the image, or correct its name';
  return { fault: { severity: 'error', message: `the image ${engineReference(name)} is not there`, hint } };
}

function findingOf({ path }: PlacedService, fault: Fault, fileName: string): Finding {
  return { ...fault, code: 'apps-image-missing', where: `${fileName} ${joinPath(path, 'image')}` };
}
