// Which of a program's changes are tried, and with which faults.
import fc from 'fast-check';
import type { Fault, FileChange } from './traced-changes.ts';

export interface Sampling {
  /** Every change is tried instead. */
  readonly isComplete: boolean;
  readonly seed: number;
}

export interface FaultyChange {
  readonly change: FileChange;
  readonly fault: Fault;
}

/** The certain ones, and others up to that number. */
export function sampleOf(
  changes: readonly FileChange[],
  { isComplete, seed }: Sampling,
  size: number,
  isCertain: (change: FileChange, index: number) => boolean,
): readonly FileChange[] {
  if (isComplete) return changes;
  const others = changes.filter((change, index) => !isCertain(change, index));
  const length = Math.min(others.length, Math.max(0, size - (changes.length - others.length)));
  const [sample = []] = fc.sample(fc.shuffledSubarray(others, { minLength: length, maxLength: length }), {
    seed,
    numRuns: 1,
  });
  return [...changes.filter(isCertain), ...sample];
}

/** One of each call on each file by each run of a program, so that a file of many writes does not crowd out the others. */
export function oneOfEachKind(changes: readonly FileChange[], { isComplete, seed }: Sampling): readonly FileChange[] {
  if (isComplete) return changes;
  const kinds = new Map<string, FileChange[]>();
  for (const change of changes) {
    const kind = `${change.call} ${change.path} ${change.childRun}`;
    kinds.set(kind, [...(kinds.get(kind) ?? []), change]);
  }
  return [...kinds.values()].flatMap((kind) => kind.slice(seed % kind.length).slice(0, 1));
}

/** Each with one of what a kernel could say of it. */
export function withErrors(changes: readonly FileChange[], { seed }: Sampling): readonly FaultyChange[] {
  return changes.map((change, index) => {
    const errors = errorsOf(change);
    return { change, fault: errors[(seed + index) % errors.length] ?? 'EIO' };
  });
}

function errorsOf({ call, childRun }: FileChange): readonly Fault[] {
  if (call === 'write' || call === 'pwrite64') return ['ENOSPC', 'EIO'];
  if (call === 'fsync' || call === 'fchmod') return ['EIO'];
  if (call === 'unlink' || call === 'rmdir') return ['EIO', 'EROFS'];
  return ['ENOSPC', 'EIO', 'EROFS', ...(childRun === undefined ? [] : (['KILL-CHILD'] as const))];
}

/** How a message says it: a program that fails says it in words. */
export const messages: Readonly<Record<Fault, RegExp>> = {
  ENOSPC: /^migrate: .*(ENOSPC|No space left on device)/m,
  EIO: /^migrate: .*(EIO|Input\/output error)/m,
  EROFS: /^migrate: .*(EROFS|Read-only file system)/m,
  'KILL-CHILD': /^migrate: .*SIGKILL.*fallocate/m,
  KILL: /^$/,
};
