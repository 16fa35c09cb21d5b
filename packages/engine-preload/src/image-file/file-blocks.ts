// Where the blocks of files lie: what debugfs is asked for, and what it answers.
import { type ByteRange, MigrateError } from '@migrate/core';

/** Blocks of a file that lie in one row in the file system. */
export interface BlockRun {
  /** First block within the file. */
  readonly logical: number;
  /** First block within the file system. */
  readonly physical: number;
  readonly count: number;
}

/** The blocks that hold `ranges` of bytes, which ascend: first and last, both included, apart from each other. */
export function blocksOf(ranges: readonly ByteRange[], blockBytes: number): readonly (readonly [number, number])[] {
  const blocks: [number, number][] = [];
  for (const { startByte, endByte } of ranges) {
    if (endByte <= startByte) continue;
    const [first, last] = [Math.floor(startByte / blockBytes), Math.ceil(endByte / blockBytes) - 1];
    const before = blocks.at(-1);
    if (before !== undefined && first <= before[1] + 1) before[1] = Math.max(before[1], last);
    else blocks.push([first, last]);
  }
  return blocks;
}

/** `debugfs: ex -l NAME` is echoed, then a heading, then a line for each run: "0/ 0 1/ 3 0 - 2499 2536 - 5035 2500 Uninit". */
const runLine = /^\s*\d+\/\s*\d+\s+\d+\/\s*\d+\s+(\d+)\s*-\s*(\d+)\s+(\d+)\s*-\s*(\d+)\s+(\d+)\b/;

/** The answers of debugfs to all its `ex -l`, in their order. Throws `command-failed` for what makes no sense. */
export function parseBlockRuns(output: string): readonly (readonly BlockRun[])[] {
  const answers: BlockRun[][] = [];
  let answer: BlockRun[] | undefined;
  for (const line of output.split('\n')) {
    if (line.startsWith('debugfs: ')) {
      answer = line.startsWith('debugfs: ex -l ') ? [] : undefined;
      if (answer !== undefined) answers.push(answer);
      continue;
    }
    const [, first, last, physical, physicalLast, length] = (runLine.exec(line) ?? []).map(Number);
    if (answer === undefined || first === undefined || last === undefined || physical === undefined) continue;
    const count = last - first + 1;
    if (count < 1 || length !== count || physicalLast !== physical + count - 1 || physical === 0)
      throw new MigrateError(
        'command-failed',
        `debugfs tells of blocks that make no sense: ${line.trim().slice(0, 100)}`,
      );
    answer.push({ logical: first, physical, count });
  }
  return answers;
}
