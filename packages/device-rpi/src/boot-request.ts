// The lines that start stage 2, and where they go: a tryboot.txt of our own, or one sector of config.txt.
import type { SectorChange } from '@migrate/core';
import { type ConfigTxt, parseConfigTxt, printConfigTxt } from './config-txt.ts';

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

const sectorBytes = 512;
/** Lines of padding stay below every firmware's limit. */
const paddingLineBytes = 64;

/**
 * All ways to put `block` into comments and blank lines of one sector, size and all other bytes kept; the last place first.
 * A file system as simple as FAT has no other change of a file that a power cut cannot tear.
 */
export function sectorChanges(bytes: Uint8Array, block: string): readonly SectorChange[] {
  const changes: SectorChange[] = [];
  for (let offsetBytes = 0; offsetBytes < bytes.length; offsetBytes += sectorBytes) {
    const original = Buffer.from(bytes.subarray(offsetBytes, offsetBytes + sectorBytes));
    for (const run of spareRuns(bytes, offsetBytes, offsetBytes + original.length)) {
      const filling = fill(bytes, run, block);
      if (filling === undefined) continue;
      const armed = Buffer.from(original);
      armed.set(filling, run.startByte - offsetBytes);
      changes.push({ offsetBytes, original: original.toString('base64'), armed: armed.toString('base64') });
    }
  }
  return changes.reverse();
}

/** The file as it is after the change. */
export function withChange(bytes: Uint8Array, change: SectorChange): Uint8Array {
  const changed = Buffer.from(bytes);
  changed.set(Buffer.from(change.armed, 'base64'), change.offsetBytes);
  return changed;
}

interface Run {
  readonly startByte: number;
  readonly endByte: number;
}

/** Neighbouring comments and blank lines, as far as they lie between the two bytes. */
function spareRuns(bytes: Uint8Array, startByte: number, endByte: number): readonly Run[] {
  const runs: Run[] = [];
  let position = 0;
  for (const { raw, meaning } of parseConfigTxt(bytes)) {
    const from = Math.max(position, startByte);
    const to = Math.min(position + raw.length, endByte);
    position += raw.length;
    if ((meaning.kind !== 'comment' && meaning.kind !== 'blank') || from >= to) continue;
    const last = runs.at(-1);
    if (last?.endByte === from) runs[runs.length - 1] = { startByte: last.startByte, endByte: to };
    else runs.push({ startByte: from, endByte: to });
  }
  return runs;
}

/** The block with comment lines round it, exactly as long as the run; undefined where it does not fit. */
function fill(bytes: Uint8Array, { startByte, endByte }: Run, block: string): Uint8Array | undefined {
  // What stays before and after belongs to comments, and must go on being comments.
  const head = startByte === 0 || bytes[startByte - 1] === 0x0a ? '' : '\n';
  const endsLine = bytes[endByte - 1] === 0x0a || endByte === bytes.length;
  const room = endByte - startByte - head.length - block.length;
  if (room < 0 || (!endsLine && room < 1)) return undefined;
  return Buffer.from(`${head}${block}${padding(room, endsLine)}`, 'latin1');
}

function padding(room: number, endsLine: boolean): string {
  let text = '';
  while (text.length < room) {
    const left = room - text.length;
    // A rest of one byte after a full line would be "#" without an end, joined to what follows.
    const length = left > paddingLineBytes ? Math.min(paddingLineBytes, left - 1) : left;
    text += length < left || endsLine ? `${'#'.repeat(length - 1)}\n` : '#'.repeat(length);
  }
  return text;
}
