import { type ImageFacts, isArchived, writtenBytes } from '../assets/image.ts';
import { backupName, sealName } from './lay-out-payload.ts';
import { type Ordering, orderStage1 } from './order-stage1.ts';
import type { Plan, Step } from './plan.ts';

/** The steps of both stages in their order. */
export function orderSteps(ordering: Ordering): Pick<Plan, 'stage1' | 'stage2' | 'pointOfNoReturn'> {
  const { config, facts, manager, image, layout, assets, state } = ordering;
  const configure: Step = {
    kind: 'configure-image',
    id: 'configure-image',
    files: layout.placed,
    logPath: '/migrate.log',
  };
  const { prove, write, commit } = isArchived(image) ? archiveSteps : imageSteps(image);
  const before: Step[] = [
    ...manager.restoreBoot(facts),
    { kind: 'load-payload', id: 'load-payload', files: layout.payload },
    ...(assets.backup === undefined
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
    // The programs that make file systems want to see a disk that nothing uses.
    ...(isArchived(image) ? [release, prove] : [prove, release]),
  ];
  if (config.debug.noFlash) return { stage1: orderStage1(ordering), stage2: before };
  return {
    stage1: orderStage1(ordering),
    stage2: [...before, ...manager.bootTarget(facts, image), ...write, configure, commit],
    pointOfNoReturn: write[0].id,
  };
}

const release: Step = { kind: 'release-target', id: 'release-target' };

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

function imageSteps(image: ImageFacts): WritingSteps {
  const payload = 'image';
  const { sizeBytes } = image;
  return {
    prove: { kind: 'prove-image', id: 'prove-image', payload },
    write: [
      { kind: 'flash-image', id: 'flash-image', payload, sizeBytes, writtenBytes: writtenBytes(image) },
      { kind: 'verify-image', id: 'verify-image', payload },
    ],
    commit: { kind: 'commit-image', id: 'commit-image', payload },
  };
}
