// The lines that start stage 2, and where they go: a tryboot.txt of our own, or one sector of config.txt.
import { changesInComments, type SectorChange } from '@migrate/core';
import { type ConfigTxt, printConfigTxt } from './config-txt.ts';
import type { Evaluation } from './evaluate-config.ts';

/** Names below are as config.txt has them: without os_prefix, which the firmware puts before them. */
export interface Request {
  readonly initramfs: string;
  readonly commandLineFile: string;
  readonly kernel: string;
  readonly is64Bit: boolean;
}

/** Settings that `wholeText` decides at its end. */
export const ofWholeText: ReadonlySet<string> = new Set([
  'auto_initramfs',
  'arm_64bit',
  'kernel',
  'cmdline',
  'ramfsfile',
  'ramfsaddr',
]);

/** config.txt with our block at its end; initramfs lines of the old system are left out, as two would compete. */
export function wholeText(config: ConfigTxt, request: Request, comment: string): string {
  const kept = config.filter(({ meaning }) => meaning.kind !== 'initramfs' && !isRamfsSetting(meaning));
  const text = Buffer.from(printConfigTxt(kept)).toString('utf8');
  return [
    text === '' || text.endsWith('\n') ? text : `${text}\n`,
    '[all]\n',
    `# ${comment}\n`,
    'auto_initramfs=0\n',
    `arm_64bit=${request.is64Bit ? 1 : 0}\n`,
    `kernel=${request.kernel}\n`,
    ...bootLines(request),
  ].join('');
}

/** What both ways have in common. */
export function bootLines(request: Request): readonly string[] {
  return [`initramfs ${request.initramfs} followkernel\n`, `cmdline=${request.commandLineFile}\n`];
}

/** Of the lines that are ours, in bytes. */
export function longestLine(request: Request): number {
  return Math.max(...bootLines(request).map((line) => line.length), `kernel=${request.kernel}`.length);
}

/** Whether it differs from what starts the old system in nothing but what we ask for. */
export function startsStage2(
  after: Evaluation,
  before: Evaluation | undefined,
  { request, decided }: { request: Request; decided: ReadonlySet<string> },
): boolean {
  const [initramfs, ...others] = after.initramfs;
  const rest = (evaluation: Evaluation | undefined): string =>
    JSON.stringify([
      [...(evaluation?.settings ?? [])].filter(([name]) => !decided.has(name)).sort(),
      evaluation?.overlays,
      evaluation?.missing,
    ]);
  return (
    initramfs?.files.join() === request.initramfs &&
    others.length === 0 &&
    !usesRamfs(after) &&
    after.settings.get('cmdline') === request.commandLineFile &&
    rest(after) === rest(before)
  );
}

export function usesRamfs({ settings }: Evaluation): boolean {
  return settings.has('ramfsfile') || settings.get('auto_initramfs') === '1';
}

function isRamfsSetting(meaning: ConfigTxt[number]['meaning']): boolean {
  return meaning.kind === 'setting' && (meaning.name === 'ramfsfile' || meaning.name === 'ramfsaddr');
}

/** All ways to put `block` into comments of one sector of config.txt; the last place first. */
export function sectorChanges(config: ConfigTxt, block: string): readonly SectorChange[] {
  const lines = config.map(({ raw, meaning }) => ({
    raw,
    isSpare: meaning.kind === 'comment' || meaning.kind === 'blank',
  }));
  return changesInComments(lines, block);
}
