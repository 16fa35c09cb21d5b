// Which storage driver a data root was written with. Only overlay2 is read; the others are told apart so that the message helps.
import { MigrateError } from '@migrate/core';
import type { RootFiles } from './root-files.ts';

const hints: Readonly<Record<string, string>> = {
  aufs: 'an old balenaEngine or docker wrote it; update its system, or save and load the images',
  btrfs: 'save and load the images',
  devicemapper: 'save and load the images',
  'fuse-overlayfs': 'a rootless engine wrote it; save and load the images',
  overlay: 'save and load the images',
  overlayfs: "this is containerd's image store",
  vfs: 'save and load the images',
  zfs: 'save and load the images',
};
const wayOut = 'Load them (docker save, docker load) into an engine that uses overlay2';

/** 'empty': no engine has stored images yet. */
export type RootKind = 'overlay2' | 'empty';

/** Throws `unsupported` for another storage driver or image store, and `not-found` for what is no data root at all. */
export async function recogniseRoot(files: RootFiles): Promise<RootKind> {
  const drivers = await files.list('image');
  if (drivers.includes('overlay2')) return 'overlay2';
  const driver = drivers[0];
  if (driver !== undefined) {
    const hint = hints[driver] ?? 'it is not known';
    throw new MigrateError('unsupported', `${files.label} uses the storage driver ${driver} (${hint}). ${wayOut}`);
  }
  // Every engine has containerd/; only one that keeps its images there has no image/ (the default of new installs since docker 29).
  const stores = await files.list('containerd/daemon');
  if (stores.some((name) => name.startsWith('io.containerd.'))) {
    throw new MigrateError('unsupported', `${files.label} keeps its images in containerd's image store. ${wayOut}`);
  }
  const names = (await files.list('')).filter((name) => name !== 'lost+found' && !name.startsWith('.'));
  if (names.length === 0 || names.includes('overlay2') || names.includes('image')) return 'empty';
  throw new MigrateError(
    'not-found',
    `${files.label} is no data root of docker or balenaEngine: it has no image/overlay2 in it`,
  );
}
