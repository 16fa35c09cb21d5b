import { filesOf, isArchived, type TargetImage, writtenBytes } from '../assets/image.ts';
import { quoted } from '../config/quoted.ts';
import { handlerOf, type StepHandlers } from '../execute/execute.ts';
import type { Disk, Facts } from '../machine/facts.ts';
import { totalOf } from './budget.ts';
import { windowText } from './choose-staging.ts';
import type { Budget, Plan } from './plan.ts';

/** The plan for a person: what will be written where, the disk before and after, the arithmetic, and power cuts. */
export function explainPlan(plan: Plan, { facts, handlers }: { facts: Facts; handlers: StepHandlers }): string {
  const disk = facts.disks.find((candidate) => candidate.path === plan.target.pathInStage1);
  const { image } = plan;
  const sections: string[][] = [
    [
      `Plan ${plan.id}`,
      `  machine   ${facts.hostname}: ${[facts.hardware.vendor, facts.hardware.product].filter(Boolean).join(' ') || plan.device}, ${facts.os.prettyName}, kernel ${facts.kernel.release}${stage2Kernel(facts)}, ${facts.firmware.kind.toUpperCase()}`,
      `  image     ${imageText(image)}, proven to ${isArchived(image) ? 'their last bytes' : 'its last byte'}`,
      `  target    ${plan.target.pathInStage1} (${mib(plan.target.sizeBytes)} MiB${plan.target.serial === undefined ? '' : `, serial ${plan.target.serial}`})`,
    ],
    [
      'Stage 1, on the running system (undone exactly if anything fails, or by "migrate undo")',
      ...numbered(plan.stage1, handlers),
    ],
    [stage2Title(plan), ...stage2Lines(plan, handlers)],
    ...backupSection(plan),
    ...(disk === undefined ? [] : [['Disk before', ...diskBefore(disk)]]),
    plan.pointOfNoReturn === undefined
      ? ['Disk after', '  as before: debug.no_flash is set']
      : ['Disk after', ...diskAfter(plan), ...writtenLines(plan)],
    ['Memory in stage 2', ...budgetLines(plan.memory)],
    ...plan.spaces.map((space) => [`Space in ${space.path}`, ...budgetLines(space)]),
    ...(plan.dataSpaces ?? []).map((space) => [`Space on ${space.path}`, ...budgetLines(space)]),
    ['If the power is cut', ...powerCuts(plan)],
  ];
  return `${sections.map((lines) => lines.join('\n')).join('\n\n')}\n`;
}

function stage2Title({ grade, lateLifeboatReason }: Plan): string {
  if (grade === 'C') return 'Stage 2, in RAM';
  if (lateLifeboatReason === undefined) return 'Stage 2, with a lifeboat on the disk';
  return `Stage 2, with a lifeboat on the disk that stage 2 makes over files of the old system (${lateLifeboatReason})`;
}

function imageText(image: TargetImage): string {
  const system = `${image.deviceType ?? 'unknown'}${image.version === undefined ? '' : ` ${image.version}`}`;
  if (!isArchived(image))
    return `${image.path} (${system}, ${mib(image.fileBytes)} MiB, inflated ${mib(image.sizeBytes)} MiB)`;
  const files = filesOf(image);
  return `${files.length} archives (${system}, ${mib(files.reduce((sum, file) => sum + file.sizeBytes, 0))} MiB)`;
}

function numbered(steps: Plan['stage1'], handlers: StepHandlers): string[] {
  return steps.map((step, index) => `  ${String(index + 1).padStart(2)}. ${handlerOf(handlers, step).describe(step)}`);
}

function stage2Lines(plan: Plan, handlers: StepHandlers): string[] {
  const lines: string[] = [];
  plan.stage2.forEach((step, index) => {
    if (step.id === plan.pointOfNoReturn)
      lines.push('      --- point of no return: before it any failure boots the old system ---');
    lines.push(`  ${String(index + 1).padStart(2)}. ${handlerOf(handlers, step).describe(step)}`);
  });
  return lines;
}

/** Which files go into which volume. */
function backupSection({ stage1 }: Plan): string[][] {
  const volumes = stage1.flatMap((step) => (step.kind === 'write-backup' ? step.volumes : []));
  if (volumes.length === 0) return [];
  const lines = volumes.flatMap(({ name, files, contentBytes, items }) => [
    `  volume ${name}: ${files} files, ${mib(contentBytes)} MiB`,
    ...items.map(({ source, target, filter }) => {
      const where = target.length === 0 ? '' : ` into ${quoted(target.join('/'), 200)}`;
      const chosen = filter === undefined ? '' : `, only paths with ${quoted(filter, 200)}`;
      return `    ${quoted(source, 200)}${where}${chosen}`;
    }),
  ]);
  const warning = '  the release that the device gets first must declare each of them, or it starts no application';
  return [['Backup, for volumes of the new system', ...lines, warning]];
}

function diskBefore(disk: Disk): string[] {
  return disk.partitions.map((partition) =>
    row(
      partition.path,
      partition.startByte,
      partition.sizeBytes,
      [partition.fileSystem?.type, partition.fileSystem?.label].filter(Boolean).join(' '),
    ),
  );
}

function diskAfter(plan: Plan): string[] {
  const names = new Map(Object.entries(plan.image.labels).map(([label, index]) => [index, label]));
  const lines = plan.image.table.partitions.map((partition, index) =>
    row(`partition ${partition.number}`, partition.startByte, partition.sizeBytes, names.get(index) ?? ''),
  );
  if (isArchived(plan.image) && plan.image.setting.maxData) return lines;
  return [
    ...lines,
    `  balenaOS grows resin-data to the end of the disk (${mib(plan.target.sizeBytes)} MiB) on its first boot`,
  ];
}

/** What is written, and what stays to be found by whoever reads the bare disk. */
function writtenLines({ image }: Plan): string[] {
  if (isArchived(image))
    return ['  partitions and file systems are made anew; their free blocks keep what the old system left in them'];
  if (image.usedBlocks === undefined)
    return [`  all ${mib(image.sizeBytes)} MiB of the image are written; behind them the disk keeps its old contents`];
  const partitions = image.usedBlocks.wholePartitions.map(
    ({ number, why }) => `  partition ${number} is written from end to end: ${why}`,
  );
  return [
    `  ${mib(writtenBytes(image))} of the ${mib(image.sizeBytes)} MiB of the image are written: the blocks that it uses`,
    ...partitions,
    '  all other blocks keep what the old system left in them, readable for whoever reads the bare disk;',
    '  balena.image.write_unused: true writes the whole image, but not behind it',
  ];
}

function row(name: string, startByte: number, sizeBytes: number, text: string): string {
  return `  ${name.padEnd(18)} from ${String(mib(startByte)).padStart(7)} MiB  ${String(mib(sizeBytes)).padStart(7)} MiB  ${text}`.trimEnd();
}

function budgetLines(budget: Budget): string[] {
  const lines = budget.needed.map((item) => `  ${String(mib(item.bytes)).padStart(7)} MiB  ${item.what}`);
  return [...lines, `  ${String(mib(totalOf(budget))).padStart(7)} MiB  needed, of ${mib(budget.availableBytes)} MiB`];
}

function powerCuts(plan: Plan): string[] {
  const safe = [
    '  in stage 1                      the old system boots; "migrate undo" removes what was prepared',
    '  between arming and stage 2      stage 2 starts once',
    `  in stage 2, before ${plan.lateLifeboatReason === undefined ? 'flashing     ' : 'the lifeboat '}the old system boots; nothing of it was changed`,
  ];
  if (plan.pointOfNoReturn === undefined) return safe;
  return [
    ...safe,
    ...(plan.lateLifeboatReason === undefined
      ? []
      : [
          `  while the lifeboat is made      stage 2 boots again from the old boot path and starts over (grade ${plan.grade}); the old system does not boot any more`,
        ]),
    plan.grade === 'C'
      ? `  while flashing and configuring  the machine does not boot (grade C: the image is in RAM only)${isArchived(plan.image) ? '' : `; ${mib(writtenBytes(plan.image))} MiB are written in that time`}`
      : `  while flashing and configuring  stage 2 boots again from the lifeboat and starts over (grade ${plan.grade})`,
    ...(plan.window === undefined
      ? []
      : [
          `  at the commit                   while ${windowText(plan.window)}, it is not certain that the machine boots`,
        ]),
    ...(plan.gradeReason === undefined
      ? []
      : [`                                  ${plan.grade === 'C' ? 'no lifeboat: ' : ''}${plan.gradeReason}`]),
    '  after the commit                balenaOS boots',
  ];
}

function mib(bytes: number): number {
  return Math.ceil(bytes / 1024 / 1024);
}

/** Named where it is not the running one. */
function stage2Kernel({ kernel: { asked } }: Facts): string {
  return asked !== undefined && 'release' in asked ? ` (stage 2 on ${asked.release}, ${asked.path})` : '';
}
