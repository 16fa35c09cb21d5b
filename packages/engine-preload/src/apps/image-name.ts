// Names of container images, read as the engine and the supervisor read them.
// Grammar: https://github.com/distribution/reference (reference.go); normal form: balena-supervisor src/lib/docker-utils.ts.
import { quoted } from '@migrate/core';
import { familiarReference } from '../root/repositories.ts';

/** `digest` and `tag` as in `repository:tag@digest`; an image name may have both, one or none. */
export interface ImageName {
  /** Registry and path, as written. */
  readonly repository: string;
  readonly tag?: string;
  /** `sha256:…`, 64 digits. */
  readonly digest?: string;
}

const part = '[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*';
const registryLabel = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const registry = `(?:${registryLabel}(?:\\.${registryLabel})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?`;
const namePattern = new RegExp(
  `^((?:${registry}/)?${part}(?:/${part})*)(?::([a-zA-Z0-9_][a-zA-Z0-9_.-]{0,127}))?(?:@(sha256:[0-9a-f]{64}))?$`,
);
/** The supervisor's limit for `image` (ShortString), and the engine's for repositories. */
export const longestImageName = 255;

/** Undefined where the engine would refuse the name. An image id is no name. */
export function parseImageName(text: string): ImageName | undefined {
  if (text.length > longestImageName || isImageId(text)) return undefined;
  const found = namePattern.exec(text);
  const [, repository, tag, digest] = found ?? [];
  // The engine takes `sha256:…` for an id and refuses it as a repository.
  if (repository === undefined || repository === 'sha256') return undefined;
  return { repository, ...(tag === undefined ? {} : { tag }), ...(digest === undefined ? {} : { digest }) };
}

/** A reference for a message: as it is where it is sound, else in quotes; repositories.json can hold anything. */
export function shownName(reference: string): string {
  return parseImageName(reference) === undefined ? quoted(reference) : reference;
}

/** `sha256:` and 64 digits, or the digits alone. */
export function isImageId(text: string): boolean {
  return /^(?:sha256:)?[0-9a-f]{64}$/.test(text);
}

/**
 * The form in which the supervisor keeps and looks up a name: with the tag `latest` where it has neither tag nor digest, and
 * without tag where it has a digest.
 */
export function normalisedImageName({ repository, tag, digest }: ImageName): string {
  return digest === undefined ? `${repository}:${tag ?? 'latest'}` : `${repository}@${digest}`;
}

/** The key under which repositories.json must hold an image for the engine to find it by this name. */
export function engineReference(name: ImageName): string {
  return familiarReference(normalisedImageName(name));
}
