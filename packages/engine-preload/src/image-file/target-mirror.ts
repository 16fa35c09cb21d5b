// The stores of a data root inside an image file, copied out without their layers' files: enough to read the root as any other.
import { type Host, MigrateError } from '@migrate/core';
import { dataRootPath } from '../inject/prepare-injection.ts';
import { cachePath, isCacheId } from '../root/layer-store.ts';
import { command } from './debugfs-commands.ts';
import { type Ext4File, readExt4 } from './ext4-file.ts';

export interface TargetMirror {
  /** Looks like the root of resin-data. */
  readonly directory: string;
  /** Names at the root of resin-data. */
  readonly names: ReadonlySet<string>;
}

/** Fills the empty `directory`. Throws `not-found` where resin-data has no data root. */
export async function mirrorTarget(host: Host, file: Ext4File, directory: string): Promise<TargetMirror> {
  const root = `${directory}/${dataRootPath}`;
  await host.makeDirectory(root, 0o700);
  const run = async (name: string, lines: readonly string[]): Promise<string> => {
    const script = `${directory}/.${name}`;
    await host.writeNew(script, Buffer.from([...lines, ''].join('\n'), 'latin1'), { mode: 0o600 });
    return readExt4(host, file, script);
  };
  const names = namesIn(await run('top', [command('ls', '-p', '/')]));
  if (!names.has(dataRootPath))
    throw new MigrateError('not-found', `resin-data in ${file.path} has no directory ${dataRootPath}`);
  const stores = namesIn(await run('root', [command('ls', '-p', `/${dataRootPath}`)]));
  // What is not there must not seem to be: it is made later.
  if (stores.has('overlay2')) await host.makeDirectory(`${root}/overlay2`, 0o700);
  const listing = await run('stores', [
    ...(stores.has('image') ? [command('rdump', `/${dataRootPath}/image`, root)] : []),
    ...(stores.has('overlay2')
      ? [
          command('rdump', `/${dataRootPath}/overlay2/l`, `${root}/overlay2`),
          command('ls', '-p', `/${dataRootPath}/overlay2`),
        ]
      : []),
  ]);
  const caches = [...namesIn(listing)].filter(isCacheId);
  for (const name of caches) {
    await host.makeDirectory(`${root}/${cachePath(name)}`, 0o700);
    await host.makeDirectory(`${root}/${cachePath(name)}/diff`, 0o700);
  }
  const dumps = caches.flatMap((name) =>
    ['link', 'lower', 'committed'].map((part) =>
      command('dump', `/${dataRootPath}/${cachePath(name)}/${part}`, `${root}/${cachePath(name)}/${part}`),
    ),
  );
  await run('links', dumps);
  if (names.has('apps.json.preloaded')) {
    await host.writeNew(`${directory}/apps.json.preloaded`, new Uint8Array(), { mode: 0o600 });
  }
  return { directory, names };
}

/** `ls -p` writes a line "/inode/mode/uid/gid/name/size/" for each name. */
function namesIn(listing: string): ReadonlySet<string> {
  const found = [...listing.matchAll(/^\/\d+\/\d+\/\d+\/\d+\/([^/]+)\//gm)].flatMap(([, name]) => name ?? []);
  return new Set(found.filter((name) => name !== '.' && name !== '..'));
}
