// Everything that can be known before a resin-data partition is touched.
import { type Finding, type HostReader, MigrateError } from '@migrate/core';
import { checkServiceImages, type InjectedImage } from '../apps/check-images.ts';
import { printAppsJson } from '../apps/from-target-state.ts';
import { servicesOf } from '../apps/services-of.ts';
import { type ConnectionText, connectionFiles, type FileToPlace } from '../boot-files/connection-files.ts';
import { checkBootFiles } from '../boot-files/place-boot-files.ts';
import { shortId } from '../root/digest.ts';
import { findImages } from '../root/find-images.ts';
import { type DataRoot, type Image, readDataRoot } from '../root/read-data-root.ts';
import { directoryFiles } from '../root/root-files.ts';
import type { ImageSource } from '../transplant/image-source.ts';
import { findTakenNames, type OnTakenName, type TakenName } from '../transplant/plan-transplant.ts';
import { type AppsInput, readAppsInput } from './apps-input.ts';

/** Where the supervisor looks for apps.json (balena-supervisor src/lib/constants.ts), below the root of resin-data. */
export const appsJsonPath = 'apps.json';
/** The data root of balenaOS's engine below the root of resin-data. */
export const dataRootPath = 'docker';

export interface InjectionRequest {
  readonly source: ImageSource;
  /** As `findImages` takes them; undefined for all images that have a name. */
  readonly names?: readonly string[];
  /** Root of the mounted resin-data partition. */
  readonly resinData: string;
  /** Root of the mounted resin-boot partition; needed for connections. */
  readonly resinBoot?: string;
  readonly apps?: AppsInput;
  readonly connections: readonly ConnectionText[];
  /** What happens with names that resin-data uses for other images. Default: 'refuse'. */
  readonly onTakenName?: OnTakenName;
}

/** What will be done: present in full only where no finding is an error. */
export interface Injection {
  readonly request: InjectionRequest;
  readonly images: readonly Image[];
  /** apps.json as it will be written. */
  readonly appsJson?: { readonly text: string; readonly serviceNames: readonly string[] };
  readonly bootFiles: readonly FileToPlace[];
  /** Names that resin-data uses for other images. */
  readonly takenNames: readonly TakenName[];
  /** Images that no service of apps.json uses. */
  readonly unused: readonly InjectedImage[];
}

export interface Preparation {
  readonly injection: Injection;
  /** Faults in what the user gave. */
  readonly inputFindings: readonly Finding[];
  /** What stands against it on the partitions. */
  readonly targetFindings: readonly Finding[];
}

/** Throws `not-found` for unknown images, and what `readDataRoot` throws for a data root that cannot be read. */
export async function prepareInjection(host: HostReader, request: InjectionRequest): Promise<Preparation> {
  const { source, resinData, resinBoot } = request;
  const images = findImages(source, request.names ?? namedIds(source.images));
  const target = await readTarget(host, resinData);
  const connections = connectionFiles(request.connections);
  if (request.connections.length > 0 && resinBoot === undefined) {
    throw new MigrateError('invalid-input', 'connections need the boot partition: say where resin-boot is mounted');
  }
  const takenNames = findTakenNames(images, target.repositories);
  const present = presentImages(images, target, { takenNames, isMoved: request.onTakenName === 'move' });
  const parsed = request.apps === undefined ? undefined : readAppsInput(request.apps, present);
  const check =
    request.apps === undefined || parsed?.apps === undefined
      ? undefined
      : checkServiceImages(parsed.apps, present, request.apps.fileName);
  const inBoot = resinBoot === undefined ? [] : await checkBootFiles(host, resinBoot, connections.files);
  const injectedIds = new Set<string>(images.map(({ id }) => id));
  return {
    injection: {
      request,
      images,
      bootFiles: connections.files,
      takenNames,
      unused: (check?.unused ?? []).filter(({ id }) => injectedIds.has(id)),
      ...(parsed?.apps === undefined
        ? {}
        : {
            appsJson: {
              text: printAppsJson(parsed.apps),
              serviceNames: servicesOf(parsed.apps).map(({ name }) => name),
            },
          }),
    },
    inputFindings: [...(parsed?.findings ?? []), ...connections.findings],
    targetFindings: [
      ...takenNameFindings(takenNames, request.onTakenName),
      ...(check?.findings ?? []),
      ...inBoot,
      ...(await bootedBefore(host, request)),
    ],
  };
}

function namedIds(images: readonly Image[]): readonly string[] {
  return images.filter(({ references }) => references.length > 0).map(({ id }) => id);
}

async function readTarget(host: HostReader, resinData: string): Promise<DataRoot> {
  const root = `${resinData}/${dataRootPath}`;
  if ((await host.status(root))?.kind === 'directory') return readDataRoot(directoryFiles(host, root));
  throw new MigrateError(
    'not-found',
    `there is no directory ${root}: is ${resinData} the root of a mounted resin-data partition?`,
  );
}

/** What the engine will have afterwards, each name with one image. */
function presentImages(
  images: readonly Image[],
  target: DataRoot,
  { takenNames, isMoved }: { takenNames: readonly TakenName[]; isMoved: boolean },
): readonly InjectedImage[] {
  const taken = new Set(takenNames.map(({ reference }) => reference));
  const without = (references: readonly string[], isWithout: boolean): readonly string[] =>
    isWithout ? references.filter((reference) => !taken.has(reference)) : references;
  const all = new Map<string, InjectedImage>(
    target.images.map(({ id, references }) => [id, { id, references: without(references, isMoved) }]),
  );
  for (const { id, references } of images) {
    const added = without(references, !isMoved);
    all.set(id, { id, references: [...new Set([...(all.get(id)?.references ?? []), ...added])] });
  }
  return [...all.values()];
}

function takenNameFindings(takenNames: readonly TakenName[], onTakenName: OnTakenName = 'refuse'): readonly Finding[] {
  if (onTakenName !== 'refuse') return [];
  return takenNames.map(({ reference, target, source }) => ({
    severity: 'error',
    code: 'name-taken',
    where: reference,
    message: `resin-data uses this name for another image (${shortId(target)} there, ${shortId(source)} here)`,
    hint: '--on-conflict keep leaves the name there, --on-conflict move gives it to the new image',
  }));
}

async function bootedBefore(host: HostReader, { resinData, apps }: InjectionRequest): Promise<readonly Finding[]> {
  const where = `${resinData}/${appsJsonPath}.preloaded`;
  if (apps === undefined || (await host.status(where)) === undefined) return [];
  const message =
    'this system has started before: the supervisor reads apps.json only while it has no target state of its own';
  return [{ severity: 'warning', code: 'booted-before', where, message, hint: 'Use a freshly written system' }];
}
