import { type Host, MigrateError } from '@migrate/core';
import { indexName } from '../bundle/bundle-index.ts';
import { openBundle } from '../bundle/open-bundle.ts';
import { directorySource, type ImageSource } from './image-source.ts';
import { listArchive, withRootArchive } from './root-archive.ts';

/** Places of a data root below a directory that holds one: resin-data, or the root of a system. */
const rootPlaces = ['', 'docker', 'var/lib/docker', 'var/lib/balena-engine'];

/** The data root in a directory: itself, or where resin-data or a whole system has it. Throws `not-found`. */
export async function findDataRoot(host: Host, directory: string): Promise<string> {
  for (const place of rootPlaces) {
    const root = place === '' ? directory : `${directory}/${place}`;
    if ((await host.status(`${root}/image`))?.kind === 'directory') return root;
  }
  throw new MigrateError('not-found', `there is no data root of docker or balenaEngine in ${directory}`);
}

/**
 * Opens what a path holds: a bundle (directory or tar file), or a directory with a data root in it. An archive of a data root is
 * what `withSource` reads.
 */
export async function openSource(host: Host, path: string): Promise<ImageSource> {
  const status = await host.status(path);
  if (status === undefined) throw new MigrateError('not-found', `there is no ${path}`);
  if (status.kind === 'file' || (await host.status(`${path}/${indexName}`)) !== undefined)
    return openBundle(host, path);
  return directorySource(host, await findDataRoot(host, path));
}

/**
 * Opens a source for as long as `use` takes. An archive of a data root is unpacked into the directory `scratch` meanwhile. Throws
 * as `openSource`, `listArchive` and `withRootArchive` do.
 */
export async function withSource<T>(
  host: Host,
  { path, scratch }: { path: string; scratch: string },
  use: (source: ImageSource) => Promise<T>,
): Promise<T> {
  if ((await host.status(path))?.kind === 'file') {
    const listing = await listArchive(host, path);
    if (listing.kind === 'data-root') return withRootArchive(host, { archive: path, listing, scratch }, use);
  }
  const source = await openSource(host, path);
  try {
    return await use(source);
  } finally {
    await source.close();
  }
}
