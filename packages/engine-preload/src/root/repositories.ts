// repositories.json: which reference stands for which image (moby, reference/store.go).
import { MigrateError } from '@migrate/core';
import { type Digest, isDigest } from './digest.ts';
import { asObject, parseJson } from './json-file.ts';

export const repositoriesPath = 'image/overlay2/repositories.json';
export const repositoriesLimitBytes = 32 * 1024 * 1024;

/** Image ids by reference ("name:tag" or "name@sha256:…") by repository name. */
export type Repositories = ReadonlyMap<string, ReadonlyMap<string, Digest>>;

/** Throws `invalid-input` naming `where`, the file. */
export function parseRepositories(bytes: Uint8Array, where: string): Repositories {
  const all = asObject(asObject(parseJson(bytes, where), where).get('Repositories') ?? {}, `${where}: Repositories`);
  return new Map(
    [...all].map(([name, references]) => {
      const place = `${where}: Repositories[${JSON.stringify(name)}]`;
      const ids = [...asObject(references, place)].map(([reference, id]): [string, Digest] => {
        if (!isDigest(id))
          throw new MigrateError('invalid-input', `${place}[${JSON.stringify(reference)}] is no image id`);
        return [reference, id];
      });
      return [name, new Map(ids)];
    }),
  );
}

export function printRepositories(repositories: Repositories): Uint8Array {
  const plain = Object.fromEntries([...repositories].map(([name, ids]) => [name, Object.fromEntries(ids)]));
  return new TextEncoder().encode(JSON.stringify({ Repositories: plain }));
}

/** All references of an image, sorted. */
export function referencesTo(repositories: Repositories, id: Digest): readonly string[] {
  return [...repositories.values()]
    .flatMap((references) => [...references])
    .filter(([, image]) => image === id)
    .map(([reference]) => reference)
    .sort();
}

/** The repository of a reference: what stands before "@" or before the ":" of a tag, which comes after the last slash. */
export function repositoryOf(reference: string): string {
  const at = reference.indexOf('@');
  if (at !== -1) return reference.slice(0, at);
  const colon = reference.indexOf(':', reference.lastIndexOf('/') + 1);
  return colon === -1 ? reference : reference.slice(0, colon);
}

/** What the engine itself writes for a reference: Docker Hub's prefixes are left out, a missing tag is "latest". */
export function familiarReference(text: string): string {
  const name = text.replace(/^(index\.)?docker\.io\//, '').replace(/^library\/(?=[^/]+$)/, '');
  return name.includes('@') || name !== repositoryOf(name) ? name : `${name}:latest`;
}
