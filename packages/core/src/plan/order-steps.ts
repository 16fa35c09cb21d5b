import { type ImageFacts, isArchived, writtenBytes } from '../assets/image.ts';
import { backupName, sealName } from './lay-out-payload.ts';
import { leaveLifeboat, lifeboatEntry } from './order-lifeboat.ts';
import { type Ordering, orderStage1 } from './order-stage1.ts';
import type { Plan, Step } from './plan.ts';

/** The steps of both stages in their order. */
export function orderSteps(ordering: Ordering): Pick<Plan, 'stage1' | 'stage2' | 'pointOfNoReturn'> {
  const { config, facts, manager, image, layout, assets, state, staging } = ordering;
  const configure: Step = {
    kind: 'configure-image',
    id: 'configure-image',
    files: layout.placed,
    logPath: '/migrate.log',
  };
  const hasBackup = assets.backup !== undefined;
  const hasLifeboat = staging.kind === 'lifeboat';
  const { prove, write, commit } = isArchived(image) ? archiveSteps : imageSteps(image, { hasLifeboat });
  const before: Step[] = [
    ...manager.restoreBoot(facts),
    { kind: 'load-payload', id: 'load-payload', files: layout.payload },
    ...(assets.backup === undefined || hasLifeboat
      ? []
      : [
          {
            kind: 'load-backup',
            id: 'load-backup',
            name: backupName,
            pathInFileSystem: `${state.pathInFileSystem}/payload/files/${backupName}`,
            sealInFileSystem: `${state.pathInFileSystem}/payload/files/${sealName}`,
            limitBytes: assets.backup.archiveBytes,
          } satisfies Step,
        ]),
    ...(hasLifeboat ? [{ kind: 'prove-lifeboat', id: 'prove-lifeboat' } satisfies Step] : []),
    // The programs that make file systems want to see a disk that nothing uses.
    ...(isArchived(image) ? [release, prove] : [prove, release]),
  ];
  if (config.debug.noFlash) return { stage1: orderStage1(ordering), stage2: before };
  const after: readonly [Step, ...Step[]] = hasLifeboat
    ? [switchToLifeboat, ...write, configure, commit, leaveLifeboat(staging, { hasBackup })]
    : [...write, configure, commit];
  const entries = hasLifeboat ? lifeboatEntry(staging) : [];
  return {
    stage1: orderStage1(ordering),
    stage2: [...before, ...entries, ...manager.bootTarget(facts, image), ...after],
    pointOfNoReturn: after[0].id,
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

function imageSteps(image: ImageFacts, { hasLifeboat }: { hasLifeboat: boolean }): WritingSteps {
  const payload = 'image';
  const { sizeBytes } = image;
  return {
    prove: { kind: 'prove-image', id: 'prove-image', payload },
    write: [
      {
        kind: 'flash-image',
        id: 'flash-image',
        payload,
        sizeBytes,
        writtenBytes: writtenBytes(image),
        ...(hasLifeboat ? { keepsTables: true as const } : {}),
      },
      { kind: 'verify-image', id: 'verify-image', payload },
    ],
    commit: { kind: 'commit-image', id: 'commit-image', payload },
  };
}
