// Ways to do the same thing, measured in turns within one run, so that a busy machine slows all of them alike.
import { type Measurement, measure, median } from './measure.ts';

export interface Contender {
  readonly task: string;
  /** Ours begin with "ours"; the first of a task is what the others are compared with. */
  readonly way: string;
  /** What bash is to run; asked for once the turn is prepared. */
  readonly commandLine: string | (() => string);
  /** Largest ratio that we are content with. */
  readonly goal?: number;
  /** Sets up each of its turns; what it gives takes that back. */
  readonly prepare?: () => Promise<() => Promise<void>>;
}

export interface BenchRow extends Measurement {
  readonly task: string;
  readonly way: string;
  /** Median wall time over that of the first way of the same task. */
  readonly ratio: number;
  readonly goal?: number;
}

export interface BenchOptions {
  readonly rounds: number;
  /** Names of tasks to run; all where it is left out. */
  readonly tasks?: readonly string[];
}

export interface Bench {
  /** What was worked on, in bytes, for the throughput. */
  readonly sizeBytes: number;
  readonly rows: readonly BenchRow[];
}

/** The contenders of the wanted tasks. */
export function wanted(contenders: readonly Contender[], { tasks }: BenchOptions): readonly Contender[] {
  return contenders.filter(({ task }) => tasks === undefined || tasks.includes(task));
}

/** Runs all contenders `rounds` times in turns; rows of medians, in the order of the contenders. */
export async function contest(
  contenders: readonly Contender[],
  { rounds }: BenchOptions,
): Promise<readonly BenchRow[]> {
  const results = new Map(contenders.map((contender) => [contender, [] as Measurement[]]));
  for (let round = 0; round < rounds; round += 1) {
    for (const contender of contenders) {
      const takeBack = await contender.prepare?.();
      try {
        results
          .get(contender)
          ?.push(
            await measure(typeof contender.commandLine === 'string' ? contender.commandLine : contender.commandLine()),
          );
      } finally {
        await takeBack?.();
      }
    }
  }
  const medianOf = (contender: Contender | undefined, key: keyof Measurement): number =>
    median((contender === undefined ? [] : (results.get(contender) ?? [])).map((measurement) => measurement[key]));
  return contenders.map((contender) => {
    const { task, way, goal } = contender;
    const usual = contenders.find((other) => other.task === task);
    const wallSeconds = medianOf(contender, 'wallSeconds');
    return {
      task,
      way,
      wallSeconds,
      cpuSeconds: medianOf(contender, 'cpuSeconds'),
      peakRssMib: medianOf(contender, 'peakRssMib'),
      ratio: wallSeconds / medianOf(usual, 'wallSeconds'),
      ...(goal === undefined ? {} : { goal }),
    };
  });
}
