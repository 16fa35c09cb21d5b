// The lines that start stage 2, and where they go: a tryboot.txt of our own, or one sector of config.txt.
import { changesInComments, type SectorChange } from '@migrate/core';
import { type ConfigTxt, printConfigTxt } from './config-txt.ts';

/** Names below are as config.txt has them: without os_prefix, which the firmware puts before them. */
export interface Request {
  readonly initramfs: string;
  readonly commandLineFile: string;
  readonly kernel: string;
  readonly is64Bit: boolean;
}

/** config.txt with our block at its end; initramfs lines of the old system are left out, as two would compete. */
export function trybootText(config: ConfigTxt, request: Request): string {
  const kept = config.filter(({ meaning }) => meaning.kind !== 'initramfs' && !isRamfsSetting(meaning));
  const text = Buffer.from(printConfigTxt(kept)).toString('utf8');
  return [
    text === '' || text.endsWith('\n') ? text : `${text}\n`,
    '[all]\n',
    '# Made by migrate; removed by "migrate undo".\n',
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
