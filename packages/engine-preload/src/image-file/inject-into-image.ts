// Puts images, apps.json and connections into an image file of balenaOS, without root and without a mount. All is done on a copy
// beside it, which takes the image's name when it is complete and checked: a failure or a power cut leaves the image as it was.
import { dirname } from 'node:path/posix';
import { doing, type Emit, type Host, MigrateError, withLock } from '@migrate/core';
import type { FileToPlace } from '../boot-files/connection-files.ts';
import {
  appsJsonPath,
  dataRootPath,
  type Injection,
  type InjectionRequest,
  type Preparation,
  prepareInjection,
} from '../inject/prepare-injection.ts';
import { readDataRoot } from '../root/read-data-root.ts';
import { directoryFiles } from '../root/root-files.ts';
import { removeTrees } from '../transplant/journal.ts';
import { planTransplant, type TakenName, type TransplantPlan } from '../transplant/plan-transplant.ts';
import { readTargetState } from '../transplant/target-state.ts';
import { newNames } from '../transplant/transplant.ts';
import { command } from './debugfs-commands.ts';
import { checkExt4, type Ext4Figures, type Ext4File, readFigures } from './ext4-file.ts';
import { findPartition } from './find-partition.ts';
import { growDataPartition } from './grow-image.ts';
import { ownMember, type ReadTar } from './layer-member.ts';
import { type MemberTarget, memberWriter } from './member-writer.ts';
import { mirrorTarget, type TargetMirror } from './target-mirror.ts';
import { writeTransplant } from './write-transplant.ts';

export interface ImageInjectionRequest extends Omit<InjectionRequest, 'resinData' | 'resinBoot'> {
  /** Path of the raw image. */
  readonly image: string;
  /** Make resin-data larger where it is too small. */
  readonly grow: boolean;
  readonly readTar: ReadTar;
}

export interface ImageInjection {
  readonly preparation: Preparation;
  /** Does it. Throws `no-space` where resin-data is too small and may not grow, and `write-failed`; the image is then as it was. */
  carryOut(emit: Emit): Promise<ImageInjectionResult>;
}

export interface ImageInjectionResult {
  readonly newLayers: number;
  readonly reusedLayers: number;
  readonly takenNames: readonly TakenName[];
  /** Bytes that resin-data has grown by. */
  readonly grownBytes: number;
}

const dataLabel = 'resin-data';
const bootLabel = 'resin-boot';
const timeoutMs = 6 * 60 * 60 * 1000;

/**
 * Reads all that can be known before the image is touched and gives it to `action`; what lies beside the image is removed in the
 * end, whatever happened. Throws `wrong-image`, `locked` while another run works on the image, and as `prepareInjection` does.
 */
export async function withImageInjection<T>(
  host: Host,
  request: ImageInjectionRequest,
  action: (injection: ImageInjection) => Promise<T>,
): Promise<T> {
  // What takes the image's name must not take that of a link to it.
  const image = (await host.realPath(request.image)) ?? request.image;
  if ((await host.status(image))?.kind !== 'file') throw new MigrateError('not-found', `there is no file ${image}`);
  const partition = await findPartition(host, image, dataLabel);
  const file: Ext4File = { path: image, offsetBytes: partition.startByte };
  return withLock(host, `${image}.migrate-inject`, async () => {
    const work = `${image}.migrate-inject/work`;
    await removeTrees(host, [work]);
    try {
      await host.makeDirectory(work, 0o700);
      return await action(await prepareInside(host, { ...request, image }, { file, work }));
    } finally {
      await removeTrees(host, [work]);
    }
  });
}

async function prepareInside(
  host: Host,
  request: ImageInjectionRequest,
  { file, work }: { file: Ext4File; work: string },
): Promise<ImageInjection> {
  await checkExt4(host, file);
  await host.makeDirectory(`${work}/mirror`, 0o700);
  const mirror = await mirrorTarget(host, file, `${work}/mirror`);
  const { connections, source, names, apps, onTakenName = 'refuse' } = request;
  const preparation = await prepareInjection(host, {
    source,
    connections,
    resinData: mirror.directory,
    // Its files are looked at when they are written.
    resinBoot: `${work}/boot`,
    onTakenName,
    ...(names === undefined ? {} : { names }),
    ...(apps === undefined ? {} : { apps }),
  });
  return {
    preparation,
    carryOut: (emit) =>
      doing(`putting images into ${request.image}`, 'write-failed', () =>
        carryOut(host, { request, injection: preparation.injection, work, mirror, emit }),
      ),
  };
}

interface Work {
  readonly request: ImageInjectionRequest;
  readonly injection: Injection;
  readonly work: string;
  readonly mirror: TargetMirror;
  readonly emit: Emit;
}

async function carryOut(host: Host, { request, injection, work, mirror, emit }: Work): Promise<ImageInjectionResult> {
  const { image, source, readTar, onTakenName = 'refuse' } = request;
  const root = await readDataRoot(directoryFiles(host, `${mirror.directory}/${dataRootPath}`));
  const state = await readTargetState(root, injection.images);
  const plan = planTransplant({ images: injection.images, target: state, onTakenName, newNames });
  const copy = `${work}/image`;
  await host.run('cp', ['--reflink=auto', '--sparse=always', '--preserve=mode,ownership', '--', image, copy], {
    timeoutMs,
  });
  const grownBytes = await makeRoom(host, copy, { plan, request });
  const { startByte } = await findPartition(host, copy, dataLabel);
  const file: Ext4File = { path: copy, offsetBytes: startByte };
  const { blockBytes } = await readFigures(host, file);
  const target: MemberTarget = { host, file, blockBytes, scratch: `${work}/step` };
  await writeTransplant({
    ...target,
    source,
    plan,
    root: `/${dataRootPath}`,
    mirror: `${mirror.directory}/${dataRootPath}`,
    readTar,
    emit,
  });
  if (injection.appsJson !== undefined) await writeAppsJson(target, mirror, injection.appsJson.text);
  await checkExt4(host, file);
  await writeBootFiles(host, copy, { files: injection.bootFiles, work });
  await host.run('sync', ['--', copy], { timeoutMs });
  await host.rename(copy, image);
  await host.run('sync', ['--', dirname(image)], { timeoutMs });
  return {
    newLayers: plan.layers.length,
    reusedLayers: plan.reusedLayers.length,
    takenNames: plan.takenNames,
    grownBytes,
  };
}

/** Bytes that resin-data has grown by. */
async function makeRoom(
  host: Host,
  path: string,
  { plan, request }: { plan: TransplantPlan; request: ImageInjectionRequest },
): Promise<number> {
  const partition = await findPartition(host, path, dataLabel);
  const file: Ext4File = { path, offsetBytes: partition.startByte };
  const space = await readFigures(host, file);
  requireUsable(space);
  const need = await request.source.measure(plan.layers.map(({ source }) => source));
  const pieces = plan.layers.length + plan.images.length;
  // Directories and small files of each layer and image, and what the supervisor writes at its first start. A rerun needs none.
  const overhead = pieces === 0 ? 64 * 1024 : pieces * 64 * 1024 + 8 * 1024 * 1024;
  const inodes = need.inodes + pieces * 16;
  const shortBytes = need.bytes + overhead - space.freeBytes;
  // mke2fs makes an inode for each 16 KiB (mke2fs.conf), and growing keeps that.
  const shortForInodes = Math.max(0, inodes - space.freeInodes) * 16 * 1024;
  const moreBytes = Math.max(shortBytes, shortForInodes);
  if (moreBytes <= 0) return 0;
  if (!request.grow) {
    const mebibytes = Math.ceil(moreBytes / 1024 / 1024);
    throw new MigrateError('no-space', `resin-data is ${mebibytes} MiB too small; --grow makes it larger`);
  }
  // Tables of the file system take their share of what is added, and what is reserved for root another.
  const grown = await growDataPartition(host, path, {
    partition,
    moreBytes: Math.ceil((moreBytes * 1.05) / (1 - space.reservedShare)),
    label: dataLabel,
    aside: `${path}-data`,
  });
  return grown.sizeBytes - partition.sizeBytes;
}

/** Forms of ext4 in which files' blocks are not what they are elsewhere; balenaOS makes none of them. */
function requireUsable({ features }: Ext4Figures): void {
  const strange = features.filter((feature) => ['bigalloc', 'inline_data', 'encrypt', 'verity'].includes(feature));
  if (!features.includes('extent')) strange.push('no extents');
  if (strange.length > 0)
    throw new MigrateError('unsupported', `${dataLabel} uses ${strange.join(', ')}: mount it, and use --resin-data`);
}

async function writeAppsJson(target: MemberTarget, mirror: TargetMirror, text: string): Promise<void> {
  const writer = memberWriter(target);
  await writer.add({
    base: '',
    before: mirror.names.has(appsJsonPath) ? [command('rm', `/${appsJsonPath}`)] : [],
    members: () => [ownMember(appsJsonPath, { mode: 0o644, text })],
  });
  await writer.finish();
}

/** mtools write FAT in an image file; a file that is there already is not replaced. */
async function writeBootFiles(
  host: Host,
  image: string,
  { files, work }: { files: readonly FileToPlace[]; work: string },
): Promise<void> {
  if (files.length === 0) return;
  const { startByte } = await findPartition(host, image, bootLabel);
  const drive = `${image}@@${startByte}`;
  for (const { path, contents } of files) {
    const local = `${work}/boot-file`;
    await host.writeNew(local, contents, { mode: 0o600 });
    const found = await host.run('mtype', ['-i', drive, `::${path}`]).catch(() => undefined);
    if (found !== undefined && found.stdout !== new TextDecoder().decode(contents)) {
      throw new MigrateError('invalid-input', `the boot partition has another ${path}; give yours another name`);
    }
    if (found === undefined) {
      // Where the directory is missing, the second command says so.
      await host
        .run('mmd', ['-i', drive, '-D', 's', `::${path.slice(0, path.lastIndexOf('/'))}`])
        .catch(() => undefined);
      await host.run('mcopy', ['-i', drive, local, `::${path}`]);
    }
    await host.removeFile(local);
  }
}
