// What a transplant will make, decided before anything is touched. Pure but for the names it is given to draw from.
import { MigrateError } from '@migrate/core';
import { type Digest, shortId } from '../root/digest.ts';
import { isCacheId, isLink, type Layer, lowerText } from '../root/layer-store.ts';
import type { Image } from '../root/read-data-root.ts';
import { type Repositories, repositoryOf } from '../root/repositories.ts';

/** A layer that the target does not have, under the names that it gets there. */
export interface NewLayer {
  readonly source: Layer;
  readonly cacheId: string;
  readonly link: string;
  /** Contents of `lower`; empty for the lowest layer, which has none. */
  readonly lower: string;
}

export interface NewImage {
  readonly image: Image;
  /** Kept only where that image is in the target too: the engine cannot remove an image whose parent it does not know. */
  readonly parent?: Digest;
}

/** A name that stands for one image in the target and for another in the source. */
export interface TakenName {
  readonly reference: string;
  readonly target: Digest;
  readonly source: Digest;
}

/** What happens with a name that the target already uses for another image. */
export type OnTakenName = 'refuse' | 'keep' | 'move';

export interface TransplantPlan {
  /** Lowest first within each image. */
  readonly layers: readonly NewLayer[];
  readonly reusedLayers: readonly Layer[];
  /** Parents before children. */
  readonly images: readonly NewImage[];
  readonly presentImages: readonly Image[];
  /** Undefined where no name changes. */
  readonly repositories?: Repositories;
  readonly takenNames: readonly TakenName[];
}

/** What the target holds, as far as it matters. */
export interface TargetState {
  /** Usable layers by chain id. */
  readonly layers: ReadonlyMap<Digest, Layer>;
  /** Ids of images whose configuration is stored. */
  readonly imageIds: ReadonlySet<Digest>;
  readonly repositories: Repositories;
  /** Names below overlay2/ and overlay2/l/. */
  readonly cacheIds: ReadonlySet<string>;
  readonly links: ReadonlySet<string>;
}

export interface NewNames {
  /** 64 random hexadecimal digits. */
  cacheId(): string;
  /** 26 random capitals and digits. */
  link(): string;
}

/** Throws `invalid-input` for names that are taken, unless `onTakenName` says what to do with them. */
export function planTransplant({
  images,
  target,
  onTakenName,
  newNames,
}: {
  images: readonly Image[];
  target: TargetState;
  onTakenName: OnTakenName;
  newNames: NewNames;
}): TransplantPlan {
  const { layers, reused } = planLayers(images, target, newNames);
  const ids = new Set([...target.imageIds, ...images.map(({ id }) => id)]);
  const absent = images.filter(({ id }) => !target.imageIds.has(id));
  const { repositories, takenNames } = mergeNames(images, target.repositories, onTakenName);
  return {
    layers,
    reusedLayers: reused,
    images: parentsFirst(absent).map((image) => ({
      image,
      ...(image.parent !== undefined && ids.has(image.parent) ? { parent: image.parent } : {}),
    })),
    presentImages: images.filter(({ id }) => target.imageIds.has(id)),
    ...(repositories === undefined ? {} : { repositories }),
    takenNames,
  };
}

function planLayers(
  images: readonly Image[],
  target: TargetState,
  newNames: NewNames,
): { layers: NewLayer[]; reused: Layer[] } {
  const cacheIds = new Set(target.cacheIds);
  const links = new Set(target.links);
  const planned = new Map<Digest, NewLayer>();
  const reused = new Map<Digest, Layer>();
  for (const { layers } of images) {
    const linksBelow: string[] = [];
    for (const source of layers) {
      const present = target.layers.get(source.chainId);
      if (present !== undefined) reused.set(source.chainId, present);
      const layer = present ??
        planned.get(source.chainId) ?? {
          source,
          cacheId: freeName(cacheIds, source.cacheId, { isName: isCacheId, draw: newNames.cacheId }),
          link: freeName(links, source.link, { isName: isLink, draw: newNames.link }),
          lower: lowerText(linksBelow),
        };
      if ('source' in layer) planned.set(source.chainId, layer);
      linksBelow.unshift(layer.link);
    }
  }
  return { layers: [...planned.values()], reused: [...reused.values()] };
}

/** `wanted`, or a new name where it is taken; the result is taken from then on. */
function freeName(
  taken: Set<string>,
  wanted: string,
  { isName, draw }: { isName: (name: string) => boolean; draw: () => string },
): string {
  let name = wanted;
  while (taken.has(name) || !isName(name)) name = draw();
  taken.add(name);
  return name;
}

function parentsFirst(images: readonly Image[]): readonly Image[] {
  const byId = new Map(images.map((image) => [image.id, image]));
  const ordered = new Set<Image>();
  for (const image of images) {
    const line: Image[] = [];
    // A circle of parents, which only a forged root can have, ends at the first that repeats.
    for (let at: Image | undefined = image; at !== undefined && !line.includes(at); ) {
      line.unshift(at);
      at = at.parent === undefined ? undefined : byId.get(at.parent);
    }
    for (const one of line) ordered.add(one);
  }
  return [...ordered];
}

/** Names of `images` that stand for other images in the target. */
export function findTakenNames(
  images: readonly Pick<Image, 'id' | 'references'>[],
  present: Repositories,
): readonly TakenName[] {
  return images.flatMap(({ id, references }) =>
    references.flatMap((reference) => {
      const target = present.get(repositoryOf(reference))?.get(reference);
      return target === undefined || target === id ? [] : [{ reference, target, source: id }];
    }),
  );
}

function mergeNames(
  images: readonly Image[],
  present: Repositories,
  onTakenName: OnTakenName,
): { repositories?: Repositories; takenNames: readonly TakenName[] } {
  const merged = new Map([...present].map(([name, references]) => [name, new Map(references)]));
  const takenNames = findTakenNames(images, present);
  let isChanged = false;
  for (const { id, references } of images) {
    for (const reference of references) {
      const repository = repositoryOf(reference);
      const ids = merged.get(repository) ?? new Map<string, Digest>();
      const holder = ids.get(reference);
      if (holder === id) continue;
      if (holder !== undefined && onTakenName !== 'move') continue;
      merged.set(repository, ids.set(reference, id));
      isChanged = true;
    }
  }
  if (takenNames.length > 0 && onTakenName === 'refuse') {
    const names = takenNames.map(
      ({ reference, target, source }) => `${reference} (${shortId(target)} there, ${shortId(source)} here)`,
    );
    throw new MigrateError(
      'invalid-input',
      `the target already uses these names for other images: ${names.join(', ')}. Choose whether such a name stays with the ` +
        "target's image or moves to the new one",
      { data: { references: takenNames.map(({ reference }) => reference) } },
    );
  }
  return { ...(isChanged ? { repositories: merged } : {}), takenNames };
}
