// A tar archive of a data root, gzip or zstd too: unpacked for as long as it is read. Its layers are proven before they are used,
// since an archive that was made without extended attributes or owners looks right and is not.
import { doing, type Host, MigrateError, quoted, withLock } from '@migrate/core';
import { indexName } from '../bundle/bundle-index.ts';
import type { Digest } from '../root/digest.ts';
import type { Layer } from '../root/layer-store.ts';
import { directoryFiles } from '../root/root-files.ts';
import { verifyLayer } from '../verify/verify-layer.ts';
import { archiveByTar } from '../verify/verify-root.ts';
import { requireRoot } from './check-target.ts';
import { copyTimeoutMs } from './copy-timeout.ts';
import { directorySource, type ImageSource } from './image-source.ts';
import { removeTrees } from './journal.ts';

export interface ArchiveListing {
  readonly kind: 'bundle' | 'data-root';
  /** Where the data root lies in it: "", "./", "var/lib/docker/"; empty for a bundle. */
  readonly prefix: string;
  readonly bytes: number;
  readonly members: number;
}

/** A line of `tar --list --verbose --numeric-owner --quoting-style=escape`: mode, owner, size or device, date, time, name. */
const line = /^([-dlhcbps])\S{9,10}\s+\d+\/\d+\s+(?:(\d+)|\d+,\d+)\s+\S+\s+\S+ (.*)$/;
/** Where an engine has links: its short names, and the files of layers. */
const linkPlace = /(^|\/)overlay2\/(l\/[^/]+$|[0-9a-f]{64}\/diff\/)/;
const longestLine = 64 * 1024;
const makingHint =
  "make it as root: tar --xattrs --xattrs-include='*' --numeric-owner -czf root.tar.gz -C /var/lib/docker image overlay2";

/**
 * Says what an archive holds by the names in it; of a bundle only as much is read as it takes to know. Throws `invalid-input` for
 * names that lead out of it, `not-found` where it is neither.
 */
export async function listArchive(host: Host, archive: string): Promise<ArchiveListing> {
  let prefix: string | undefined;
  let bytes = 0;
  let members = 0;
  const links: string[] = [];
  for await (const text of linesOf(namesIn(host, archive))) {
    const [, type, size, rest = ''] = line.exec(text) ?? [];
    if (type === undefined) continue;
    const separator = type === 'l' ? ' -> ' : ' link to ';
    const hasTarget = type === 'l' || type === 'h';
    const name = hasTarget ? rest.slice(0, Math.max(0, rest.indexOf(separator))) : rest;
    const target = type === 'h' ? rest.slice(rest.indexOf(separator) + separator.length) : '';
    for (const one of [name, target]) {
      if (one.startsWith('/') || one.split('/').includes('..'))
        throw new MigrateError('invalid-input', `${archive}: ${quoted(one)} leads out of the archive`);
    }
    if (name.replace(/^\.\//, '') === indexName) return { kind: 'bundle', prefix: '', bytes: 0, members: 0 };
    const [, found] =
      /^((?:[^/]+\/){0,4}?)image\/overlay2\/(?:$|imagedb\/|layerdb\/|repositories\.json$)/.exec(name) ?? [];
    if (found !== undefined && !found.includes('overlay2/')) prefix ??= found;
    if (hasTarget && /(^|\/)(image|overlay2)(\/|$)/.test(name) && !linkPlace.test(name)) links.push(name);
    bytes += Number(size ?? 0);
    members += 1;
  }
  if (prefix === undefined)
    throw new MigrateError(
      'not-found',
      `${archive} is neither a bundle nor an archive of a data root that uses overlay2`,
    );
  const places = ['image', 'overlay2'].map((place) => `${prefix}${place}`);
  const link = links.find((name) => places.some((place) => name === place || name.startsWith(`${place}/`)));
  if (link !== undefined)
    throw new MigrateError('invalid-input', `${archive}: ${quoted(link)} is a link where an engine makes none`);
  return { kind: 'data-root', prefix, bytes, members };
}

async function* namesIn(host: Host, archive: string): AsyncGenerator<Uint8Array> {
  const args = ['--list', '--verbose', '--numeric-owner', '--quoting-style=escape', '--file', archive];
  try {
    yield* host.runStream('tar', args);
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code !== 'command-failed') throw thrown;
    throw new MigrateError('invalid-input', `${archive} is no whole tar archive: ${thrown.message}`, { cause: thrown });
  }
}

/**
 * Unpacks the images and layers of an archive into `scratch`, which is made and removed again, and lets `use` read them. Throws
 * `unsupported` without root, `no-space` before it unpacks, `invalid-input` for damage, `locked` while another run uses `scratch`.
 */
export async function withRootArchive<T>(
  host: Host,
  { archive, listing, scratch }: { archive: string; listing: ArchiveListing; scratch: string },
  use: (source: ImageSource) => Promise<T>,
): Promise<T> {
  await requireRoot(host);
  return withLock(host, scratch, async () => {
    const directory = `${scratch}/root`;
    try {
      await removeTrees(host, [directory]);
      await requireRoom(host, { archive, listing, scratch });
      await host.makeDirectory(directory, 0o700);
      await doing(`unpacking ${archive}`, 'invalid-input', () => unpack(host, { archive, listing, directory }));
      return await use(await provenSource(host, { archive, directory: `${directory}/${listing.prefix}` }));
    } finally {
      await removeTrees(host, [directory]);
    }
  });
}

async function requireRoom(
  host: Host,
  { archive, listing, scratch }: { archive: string; listing: ArchiveListing; scratch: string },
): Promise<void> {
  const neededBytes = listing.bytes + listing.members * 4096;
  const { availableBytes } = await host.freeSpace(scratch);
  if (availableBytes < neededBytes) {
    const [needed, available] = [neededBytes, availableBytes].map((bytes) => Math.ceil(bytes / 2 ** 20));
    throw new MigrateError('no-space', `${archive} takes ${needed} MiB in ${scratch}, where ${available} MiB are free`);
  }
}

/** GNU tar makes symlinks last, so that none of them leads another member out. */
async function unpack(
  host: Host,
  { archive, listing, directory }: { archive: string; listing: ArchiveListing; directory: string },
): Promise<void> {
  const form = ['--same-owner', '--preserve-permissions', '--delay-directory-restore', '--numeric-owner', '--acls'];
  const attributes = ['--xattrs', '--xattrs-include=*'];
  // Containers and volumes may be large, and hold sockets.
  const wanted = ['image', 'overlay2'].map((name) => `${listing.prefix}${name}`);
  const args = ['--extract', '--file', archive, ...form, ...attributes, '--directory', directory, '--', ...wanted];
  await host.run('tar', args, { timeoutMs: copyTimeoutMs });
}

async function provenSource(
  host: Host,
  { archive, directory }: { archive: string; directory: string },
): Promise<ImageSource> {
  const root = directory.replace(/\/+$/, '');
  const source = await directorySource(host, root);
  const files = directoryFiles(host, root);
  const proven = new Map<Digest, Promise<void>>();
  const prove = (layer: Layer): Promise<void> => {
    const known = proven.get(layer.chainId) ?? proveLayer(layer);
    proven.set(layer.chainId, known);
    return known;
  };
  const proveLayer = async (layer: Layer): Promise<void> => {
    const { faults } = await verifyLayer(files, layer, archiveByTar(host, root));
    if (faults.length > 0)
      throw new MigrateError(
        'verify-mismatch',
        `${archive}: layer ${layer.chainId} is not what its engine made: ${faults.slice(0, 3).join('; ')}; ${makingHint}`,
      );
  };
  const proved = async function* (layer: Layer, read: () => AsyncGenerator<Uint8Array>): AsyncGenerator<Uint8Array> {
    await prove(layer);
    yield* read();
  };
  return {
    ...source,
    label: archive,
    placeLayer: async (layer, target) => {
      await prove(layer);
      await source.placeLayer(layer, target);
    },
    writeArchive: async (layer, path) => {
      await prove(layer);
      await source.writeArchive(layer, path);
    },
    readArchive: (layer) => proved(layer, () => source.readArchive(layer)),
    readTarSplit: (layer) => proved(layer, () => source.readTarSplit(layer)),
  };
}

async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  let held = '';
  for await (const chunk of stream) {
    const lines = (held + Buffer.from(chunk).toString('latin1')).split('\n');
    held = lines.pop() ?? '';
    if (held.length > longestLine) throw new MigrateError('invalid-input', 'the archive has a name without end');
    yield* lines;
  }
  if (held !== '') yield held;
}
