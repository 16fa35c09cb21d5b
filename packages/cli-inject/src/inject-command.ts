import { type Host, MigrateError } from '@migrate/core';
import {
  type AppsInput,
  type ConnectionText,
  carryOutInjection,
  type ImageSource,
  type OnTakenName,
  prepareInjection,
  withImageInjection,
} from '@migrate/engine-preload';
import { readTar } from '@migrate/image-tools';
import { type InjectOptions, requiredOption } from './command-options.ts';
import { confirmPreparation } from './confirm-preparation.ts';
import { readApps, readConnections } from './read-input.ts';
import { reportRun } from './report-run.ts';
import { withImages } from './with-images.ts';

interface Given {
  readonly source: ImageSource;
  readonly connections: readonly ConnectionText[];
  readonly onTakenName: OnTakenName;
  readonly names?: readonly string[];
  readonly apps?: AppsInput;
}

export async function inject(host: Host, options: InjectOptions): Promise<number> {
  const from = requiredOption(options.from, '--from');
  checkTarget(options);
  const apps = await readApps(host, options);
  const connections = await readConnections(host, options);
  // Beside the image, which has room for another; of a partition too much would be taken.
  const scratch = `${options.image ?? from}.migrate-unpacked`;
  return withImages(host, { path: from, scratch }, (source) => {
    const given: Given = {
      source,
      connections,
      onTakenName: options.onConflict,
      ...(options.only === undefined ? {} : { names: options.only }),
      ...(apps === undefined ? {} : { apps }),
    };
    return options.image === undefined
      ? intoPartitions(host, given, options)
      : intoImage(host, given, { ...options, image: options.image });
  });
}

function checkTarget({ image, resinData, resinBoot, grow }: InjectOptions): void {
  if (image === undefined) {
    requiredOption(resinData, '--resin-data (or --image)');
    if (grow === true) throw new MigrateError('invalid-input', '--grow needs --image: a mounted partition cannot grow');
    return;
  }
  if (resinData !== undefined || resinBoot !== undefined) {
    throw new MigrateError('invalid-input', '--image and --resin-data or --resin-boot exclude each other');
  }
}

async function intoPartitions(host: Host, given: Given, options: InjectOptions): Promise<number> {
  const { resinData = '', resinBoot } = options;
  const request = { ...given, resinData, ...(resinBoot === undefined ? {} : { resinBoot }) };
  const preparation = await prepareInjection(host, request);
  const refusal = await confirmPreparation(preparation, { options, target: resinData });
  if (refusal !== undefined) return refusal;
  return reportRun(options, async (emit) => {
    const { images, newLayers, reusedLayers, takenNames } = await carryOutInjection(host, preparation.injection, emit);
    return { images: images.length, newLayers, reusedLayers, takenNames };
  });
}

async function intoImage(host: Host, given: Given, options: InjectOptions & { image: string }): Promise<number> {
  const { image } = options;
  const request = { ...given, image, grow: options.grow === true, readTar };
  return withImageInjection(host, request, async ({ preparation, carryOut }) => {
    const refusal = await confirmPreparation(preparation, { options, target: image });
    if (refusal !== undefined) return refusal;
    return reportRun(options, async (emit) => ({
      images: preparation.injection.images.length,
      ...(await carryOut(emit)),
    }));
  });
}
