import {
  filesOf,
  type ImageFacts,
  imagePayloads,
  isArchived,
  type TargetImage,
  writtenBytes,
} from '../assets/image.ts';
import { backupName, type PayloadLayout, sealName } from './lay-out-payload.ts';
import { leaveLifeboat, lifeboatEntry, orderLateLifeboat } from './order-lifeboat.ts';
import { initramfsPathOf, type Ordering, orderStage1 } from './order-stage1.ts';
import type { LoaderSectors, Plan, Step } from './plan.ts';

/** The steps of both stages in their order. */
export function orderSteps(ordering: Ordering): Pick<Plan, 'stage1' | 'stage2' | 'pointOfNoReturn'> {
  const { config, facts, manager, image, layout, assets, state, staging } = ordering;
  const hasBackup = assets.backup !== undefined;
  const isImage = imagePayloads(image);
  return {
    stage1: orderStage1(ordering),
    ...orderStage2({
      image,
      layout,
      restoreBoot: manager.restoreBoot(facts),
      bootTarget: manager.bootTarget(facts, image),
      ...(assets.backup === undefined
        ? {}
        : {
            backup: {
              directory: `${state.pathInFileSystem}/payload/files`,
              limitBytes: assets.backup.archiveBytes,
            },
          }),
      ...(staging.kind === 'ram'
        ? {}
        : {
            lifeboat: {
              entries: lifeboatEntry(staging),
              leave: leaveLifeboat(staging, { hasBackup }),
              ...(staging.boot.loaders === undefined ? {} : { loaders: staging.boot.loaders }),
              ...(staging.late === undefined
                ? {}
                : {
                    late: orderLateLifeboat({
                      staging,
                      late: staging.late,
                      kernelPath: facts.kernel.image?.path ?? '',
                      initramfsPath: initramfsPathOf(manager, facts),
                      statePath: state.pathInFileSystem,
                      images: layout.payload.filter(({ name }) => isImage.has(name)),
                      hasBackup,
                    }),
                  }),
            },
          }),
      noFlash: config.debug.noFlash,
    }),
  };
}

/** What the steps of stage 2 follow from, whatever system stage 1 ran on. */
export interface Stage2Ordering {
  readonly image: TargetImage;
  readonly layout: Pick<PayloadLayout, 'payload' | 'placed'>;
  readonly restoreBoot: readonly Step[];
  readonly bootTarget: readonly Step[];
  /** Where the backup lies in the payload's file system. */
  readonly backup?: { readonly directory: string; readonly limitBytes: number };
  /** Its boot entries, the step that leaves it, and boot loaders that are exchanged last; `fill`, `late`: where stage 2 makes it. */
  readonly lifeboat?: {
    readonly entries: readonly Step[];
    readonly leave: Step;
    readonly loaders?: LoaderSectors;
    readonly fill?: Step;
    readonly late?: ReturnType<typeof orderLateLifeboat>;
  };
  readonly noFlash: boolean;
}

export function orderStage2({
  image,
  layout,
  restoreBoot,
  bootTarget,
  backup,
  lifeboat,
  noFlash,
}: Stage2Ordering): Pick<Plan, 'stage2' | 'pointOfNoReturn'> {
  const configure: Step = {
    kind: 'configure-image',
    id: 'configure-image',
    files: layout.placed,
    logPath: '/migrate.log',
  };
  const hasLifeboat = lifeboat !== undefined;
  const late = lifeboat?.late;
  const isImage = imagePayloads(image);
  // Then it stays where it lies until the lifeboat is made.
  const stays = late === undefined ? [] : layout.payload.filter(({ name }) => isImage.has(name));
  const { prove, write, commit } = isArchived(image)
    ? archiveSteps
    : imageSteps(image, { lifeboat, pathInFileSystem: stays[0]?.pathInFileSystem });
  const before: Step[] = [
    ...restoreBoot,
    { kind: 'load-payload', id: 'load-payload', files: layout.payload.filter((file) => !stays.includes(file)) },
    ...(backup === undefined || (hasLifeboat && late === undefined)
      ? []
      : [
          {
            kind: 'load-backup',
            id: 'load-backup',
            name: backupName,
            pathInFileSystem: `${backup.directory}/${backupName}`,
            sealInFileSystem: `${backup.directory}/${sealName}`,
            limitBytes: backup.limitBytes,
            ...(late === undefined ? {} : { staysInPlace: true as const }),
          } satisfies Step,
        ]),
    ...(lifeboat?.fill === undefined ? [] : [lifeboat.fill]),
    ...(hasLifeboat && late === undefined
      ? [
          {
            kind: 'prove-lifeboat',
            id: 'prove-lifeboat',
            provenLater: filesOf(image).map(({ payload }) => payload),
          } satisfies Step,
        ]
      : []),
    // The programs that make file systems want to see a disk that nothing uses.
    ...(isArchived(image) ? [release, prove] : [prove, release]),
    ...(late === undefined ? [] : [late.find]),
  ];
  if (noFlash) return { stage2: before };
  const after: readonly [Step, ...Step[]] =
    lifeboat === undefined
      ? [...write, configure, commit]
      : [switchToLifeboat, ...write, configure, commit, lifeboat.leave];
  const made: readonly [Step, ...Step[]] =
    late === undefined ? after : [late.rearm, { kind: 'write-lifeboat', id: 'write-lifeboat' }, ...after];
  return {
    stage2: [...before, ...(lifeboat?.entries ?? []), ...bootTarget, ...made],
    pointOfNoReturn: made[0].id,
  };
}

const release: Step = { kind: 'release-target', id: 'release-target' };
const switchToLifeboat: Step = { kind: 'switch-to-lifeboat', id: 'switch-to-lifeboat' };

interface WritingSteps {
  readonly prove: Step;
  readonly write: readonly [Step, ...Step[]];
  readonly commit: Step;
}

const archiveSteps: WritingSteps = {
  prove: { kind: 'prove-archives', id: 'prove-archives' },
  write: [{ kind: 'write-file-systems', id: 'write-file-systems' }],
  commit: { kind: 'commit-table', id: 'commit-table' },
};

function imageSteps(
  image: ImageFacts,
  {
    lifeboat,
    pathInFileSystem,
  }: { readonly lifeboat: Stage2Ordering['lifeboat'] | undefined; readonly pathInFileSystem: string | undefined },
): WritingSteps {
  const payload = 'image';
  const loaders = lifeboat?.loaders === undefined ? {} : { loaders: lifeboat.loaders };
  const { sizeBytes } = image;
  return {
    prove: {
      kind: 'prove-image',
      id: 'prove-image',
      payload,
      ...(pathInFileSystem === undefined ? {} : { pathInFileSystem }),
    },
    write: [
      {
        kind: 'flash-image',
        id: 'flash-image',
        payload,
        sizeBytes,
        writtenBytes: writtenBytes(image),
        ...(lifeboat === undefined ? {} : { keepsTables: true as const }),
        ...loaders,
      },
      { kind: 'verify-image', id: 'verify-image', payload, ...loaders },
    ],
    commit: { kind: 'commit-image', id: 'commit-image', payload, ...loaders },
  };
}
