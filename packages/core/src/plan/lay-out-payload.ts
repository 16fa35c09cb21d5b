// What stage 2 needs besides its runtime, where it lies until then, and what of it goes into the new system.
import type { Assets, MadeFile } from '../assets/assets.ts';
import { configJsonPath, connectionPath, proxyPath } from '../assets/boot-files.ts';
import { filesOf, type TargetImage } from '../assets/image.ts';
import { backupPath } from '../backup/backup-request.ts';
import type { Facts, Place } from '../machine/facts.ts';
import { error, type PlacedPath, placedPath } from './check-machine.ts';
import type { Finding } from './finding.ts';
import type { CopiedFile, PayloadFile, PlacedFile, WrittenConnection } from './plan.ts';
import { stateDirectory } from './state-directory.ts';

export interface PayloadLayout {
  /** Small files, and the image where it lies on another file system, that are copied beside the runtime. */
  readonly copied: readonly CopiedFile[];
  readonly payload: readonly PayloadFile[];
  readonly placed: readonly PlacedFile[];
  /** Keyfiles and files of the proxy that stage 1 makes of the old system's networks. */
  readonly written: readonly WrittenConnection[];
}

/** Of the backup and its seal among the files of the payload. */
export const backupName = 'backup.tgz';
export const sealName = 'backup.json';
/** Where stage 1 puts files for stage 2 beside the runtime. */
export const filesDirectory = `${stateDirectory}/payload/files`;
/** In the payload directory: where stage 2 sends its log. */
export const logAddressName = 'log-address';

export interface PayloadRequest {
  readonly assets: Assets;
  readonly image: TargetImage;
  /** Directory for the files as stage 1 writes there, and as stage 2 finds it from the root of its file system. */
  readonly files: { readonly inStage1: string; readonly inFileSystem: string };
  /** Where a file lies that stage 2 can take from its place; undefined where it must be copied. */
  readonly inPlace: (path: string) => string | undefined;
  /** The image has another way to stage 2. */
  readonly leavesOutImage?: boolean;
}

/** Decides what is copied into the payload directory and what stage 2 takes from where it lies. */
export function layOutPayload({
  assets,
  image,
  files,
  inPlace,
  leavesOutImage = false,
}: PayloadRequest): PayloadLayout {
  const copied: CopiedFile[] = [];
  const payload: PayloadFile[] = [];
  const placed: PlacedFile[] = [];
  const written: WrittenConnection[] = [];
  const inPayload = (name: string, { sizeBytes, sha256 }: { sizeBytes: number; sha256: string }): void => {
    payload.push({ name, pathInFileSystem: `${files.inFileSystem}/${name}`, sizeBytes, sha256 });
  };
  const copy = (name: string, file: { path: string; sizeBytes: number; sha256: string }): void => {
    const to = `${files.inStage1}/${name}`;
    copied.push({ from: file.path, to, mode: 0o600, sizeBytes: file.sizeBytes });
    inPayload(name, file);
  };
  const placeInBoot = (payloadName: string, path: string): void => {
    placed.push({ payload: payloadName, partition: 'resin-boot', path, mode: 0o600 });
  };
  const write = (payloadName: string, { name, description, sizeBytes, sha256 }: MadeFile, path: string): void => {
    written.push({ name, description, to: `${files.inStage1}/${payloadName}`, sha256 });
    inPayload(payloadName, { sizeBytes, sha256 });
    placeInBoot(payloadName, path);
  };
  for (const file of leavesOutImage ? [] : filesOf(image)) {
    const pathInFileSystem = inPlace(file.path);
    if (pathInFileSystem === undefined) copy(file.payload, file);
    else {
      const { sizeBytes, sha256 } = file;
      payload.push({ name: file.payload, pathInFileSystem, sizeBytes, sha256 });
    }
  }
  const { configJson } = assets;
  if (configJson?.withHostname !== undefined) inPayload('config.json', configJson.withHostname);
  else if (configJson !== undefined) copy('config.json', configJson);
  if (configJson !== undefined) placeInBoot('config.json', configJsonPath);
  assets.connections.forEach((connection, index) => {
    copy(`connection-${index}`, connection);
    placeInBoot(`connection-${index}`, connectionPath(connection.name));
  });
  (assets.networks?.profiles ?? []).forEach((profile, index) => {
    write(`migrated-connection-${index}`, profile, connectionPath(profile.name));
  });
  for (const file of assets.networks?.proxy?.files ?? []) write(file.name, file, proxyPath(file.name));
  if (assets.backup !== undefined)
    placed.push({ payload: backupName, partition: 'resin-data', path: backupPath, mode: 0o600 });
  return { copied, payload, placed, written };
}

/** Where the facts say that a path lies, or the finding that they do not. */
export function placeAt(facts: Facts, path: string): Place | Finding {
  return (
    facts.places.find((candidate) => candidate.path === path) ??
    error('facts-incomplete', path, 'the facts do not say where it lies', 'Capture them again with migrate facts')
  );
}

/** The same as stage 2 will find it again. */
export function placeNamed(facts: Facts, path: string): PlacedPath | Finding {
  const place = placeAt(facts, path);
  return 'code' in place ? place : placedPath(facts, place);
}
