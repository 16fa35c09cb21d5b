// Which images a person means.
import { MigrateError } from '@migrate/core';
import { isDigest, shortId } from './digest.ts';
import type { DataRoot } from './read-data-root.ts';
import { familiarReference, repositoryOf } from './repositories.ts';

type Candidate = Pick<DataRoot['images'][number], 'id' | 'references'>;

/**
 * The images called `names`: by reference (name, name:tag, name@sha256:…), image id, digest, or a prefix of an id with at least
 * four digits. Each image once, in the order of `names`. Throws one `not-found` that lists every name that is unknown, stands for
 * several images, or stands for a damaged one.
 */
export function findImages<T extends Candidate>(
  root: { readonly images: readonly T[]; readonly damaged: DataRoot['damaged'] },
  names: readonly string[],
): readonly T[] {
  const found = new Set<T>();
  const faults: string[] = [];
  for (const name of names) {
    const matches = matching<Candidate>([...root.images, ...root.damaged], name);
    const damage = root.damaged.find((image) => matches.length === 1 && image.id === matches[0]?.id);
    const image = root.images.find(({ id }) => id === matches[0]?.id);
    if (matches.length > 1) faults.push(`"${name}" stands for several images: ${matches.map(describe).join(', ')}`);
    else if (damage !== undefined) faults.push(`${describe(damage)} is damaged: ${damage.fault}`);
    else if (image === undefined) faults.push(`there is no image "${name}"`);
    else found.add(image);
  }
  if (faults.length > 0) {
    throw new MigrateError('not-found', `${faults.join('; ')}. ${listing(root.images)}`, { data: { faults } });
  }
  return [...found];
}

/** Ids of all images that have a name. Damaged ones too: leaving them out without a word would be wrong. */
export function namedImages(root: {
  readonly images: readonly Candidate[];
  readonly damaged: DataRoot['damaged'];
}): readonly string[] {
  return [...root.images, ...root.damaged].filter(({ references }) => references.length > 0).map(({ id }) => id);
}

function matching<T extends Candidate>(images: readonly T[], name: string): readonly T[] {
  const byId = images.filter(({ id }) => id === name || id === `sha256:${name}`);
  if (byId.length > 0) return byId;
  const wanted = familiarReference(name);
  const byReference = images.filter(({ references }) => references.includes(wanted));
  if (byReference.length > 0) return byReference;
  if (isDigest(name)) return images.filter(({ references }) => references.some((one) => one.endsWith(`@${name}`)));
  const repository = repositoryOf(wanted);
  const byName = images.filter(({ references }) => references.some((one) => repositoryOf(one) === repository));
  // Without a tag a name also stands for the only image called so: balena's are often known by digest alone.
  if (byName.length > 0 && wanted === `${repository}:latest` && !name.endsWith(':latest')) return byName;
  const prefix = name.replace(/^sha256:/, '');
  return /^[0-9a-f]{4,}$/.test(prefix) ? images.filter(({ id }) => id.startsWith(`sha256:${prefix}`)) : [];
}

function describe({ id, references }: Candidate): string {
  return `${shortId(id)} (${references.join(', ') || 'without a name'})`;
}

function listing(images: readonly Candidate[]): string {
  const names = images.flatMap(({ references }) => references).slice(0, 20);
  return names.length === 0 ? 'No image here has a name' : `Images here: ${names.join(', ')}`;
}
