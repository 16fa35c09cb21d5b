// Compares our proving, flashing and verifying with what one would use instead, in turns within one run, so that a busy machine
// slows all of them alike. Needs root, a free loop device, and about 4 GiB in /dev/shm.
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { bundleProgram, stage2NodeFlags } from './bundle-program.ts';
import { filledImage } from './filled-image.ts';
import { type Measurement, measure, median } from './measure.ts';
import { canLimitWrites, limitWrites } from './slow-disk.ts';

export interface FlashBenchOptions {
  readonly rounds: number;
  /** Names of tasks to run; all where it is left out. */
  readonly tasks?: readonly string[];
}

export interface BenchRow extends Measurement {
  readonly task: string;
  readonly way: string;
  /** Median wall time over that of the first way of the same task. */
  readonly ratio: number;
  /** Largest ratio that we are content with. */
  readonly goal?: number;
}

interface Contender {
  readonly task: string;
  readonly way: string;
  readonly commandLine: string;
  readonly goal?: number;
  /** Bytes a second that the disk takes. */
  readonly writeLimit?: number;
}

export interface FlashBench {
  readonly sizeBytes: number;
  readonly rows: readonly BenchRow[];
}

const etcherDirectory = join(import.meta.dirname, '../../etcher');
/** Whether etcher-sdk takes part; its README says how it is installed. */
export const hasEtcher = existsSync(join(etcherDirectory, 'node_modules/etcher-sdk'));

const mebibyte = 1024 * 1024;
const slowDisk = 40 * mebibyte;

/** Runs all contenders `rounds` times in turns; rows of medians, those of one task together. */
export async function runFlashBench({ rounds, tasks }: FlashBenchOptions): Promise<FlashBench> {
  // In memory: what is compared are programs, not disks.
  const directory = await mkdtemp('/dev/shm/flash-bench-');
  let device: string | undefined;
  try {
    const image = await filledImage();
    const packed = join(directory, 'filled.img.gz');
    await copyFile(image.packed, packed);
    await execa('bmaptool', ['create', '-o', join(directory, 'filled.bmap'), image.raw]);
    const program = await bundleProgram('image-actions', directory);
    const backing = join(directory, 'disk');
    await execa('fallocate', ['-l', String(image.sizeBytes + 64 * mebibyte), backing]);
    device = (await execa('losetup', ['--find', '--show', backing])).stdout.trim();
    const bench = { directory, device, program, packed, sizeBytes: image.sizeBytes };
    const contenders = listContenders(bench).filter(({ task }) => tasks === undefined || tasks.includes(task));
    await prepare(bench);
    const results = await takeTurns(contenders, { rounds, device });
    await execa('cmp', ['-n', String(image.sizeBytes), image.raw, device]);
    return { sizeBytes: image.sizeBytes, rows: toRows(contenders, results) };
  } finally {
    if (device !== undefined) await execa('losetup', ['-d', device]);
    await rm(directory, { recursive: true, force: true });
  }
}

interface Bench {
  readonly directory: string;
  readonly device: string;
  readonly program: string;
  readonly packed: string;
  readonly sizeBytes: number;
}

type Extent = 'all' | 'used';

function ourCommand({ directory, device, program, packed }: Bench, action: string, extent: Extent): string {
  return `node ${stage2NodeFlags.join(' ')} ${program} ${action} ${packed} ${directory}/${extent}.json ${device}`;
}

/** Flashing starts from what proving found, verifying from a disk that has the image. */
async function prepare(bench: Bench): Promise<void> {
  const commands = [ourCommand(bench, 'prove-used', 'used'), ourCommand(bench, 'prove-all', 'all')];
  for (const command of [...commands, ourCommand(bench, 'flash', 'all')]) await execa('bash', ['-c', command]);
}

/** The first of each task is what the others are compared with. */
function listContenders(bench: Bench): readonly Contender[] {
  const { directory, device, packed, sizeBytes } = bench;
  const bmaptool = `bmaptool -q copy --bmap ${directory}/filled.bmap ${packed} ${device}`;
  const dd = (flag: string): string => `gzip -dc ${packed} | dd of=${device} bs=4M iflag=fullblock ${flag}`;
  const etcher = `node ${etcherDirectory}/flash.mjs ${packed} ${device}`;
  const contenders: Contender[] = [];
  const add = (task: string, way: string, commandLine: string, more: Partial<Contender> = {}): void =>
    void contenders.push({ task, way, commandLine, ...more });

  add('prove', 'sha256sum, gzip | sha256sum', `sha256sum ${packed} && gzip -dc ${packed} | sha256sum`);
  add('prove', 'ours, all blocks', ourCommand(bench, 'prove-all', 'all'));
  add('prove', 'ours, finding used blocks', ourCommand(bench, 'prove-used', 'used'));

  add('flash', 'gzip | dd', dd('conv=fsync'));
  add('flash', 'bmaptool', bmaptool);
  if (hasEtcher) add('flash', 'etcher-sdk', etcher);
  add('flash', 'ours, used blocks', ourCommand(bench, 'flash', 'used'), { goal: 0.17 });
  add('flash', 'ours, all blocks', ourCommand(bench, 'flash', 'all'), { goal: 0.25 });
  add('flash', 'ours, used blocks, verified', ourCommand(bench, 'flash-verify', 'used'), { goal: 0.58 });
  if (hasEtcher) add('flash', 'etcher-sdk, verified', `${etcher} --verify`);

  add('verify', 'gzip | cmp', `gzip -dc ${packed} | cmp -n ${sizeBytes} - ${device}`);
  add('verify', 'ours, all blocks', ourCommand(bench, 'verify', 'all'));
  add('verify', 'ours, used blocks', ourCommand(bench, 'verify', 'used'));

  if (!canLimitWrites) return contenders;
  // What is written lands in the page cache first for all of them; the flush at the end waits for the disk.
  const slow = { writeLimit: slowDisk };
  add('flash at 40 MiB/s', 'gzip | dd', dd('conv=fsync'), slow);
  add('flash at 40 MiB/s', 'bmaptool', bmaptool, slow);
  if (hasEtcher) add('flash at 40 MiB/s', 'etcher-sdk', etcher, slow);
  add('flash at 40 MiB/s', 'ours, used blocks', ourCommand(bench, 'flash', 'used'), { ...slow, goal: 0.3 });
  return contenders;
}

async function takeTurns(
  contenders: readonly Contender[],
  { rounds, device }: { rounds: number; device: string },
): Promise<ReadonlyMap<Contender, Measurement[]>> {
  const results = new Map(contenders.map((contender) => [contender, [] as Measurement[]]));
  for (let round = 0; round < rounds; round += 1) {
    for (const contender of contenders) {
      const unlimited =
        contender.writeLimit === undefined ? undefined : await limitWrites(device, contender.writeLimit);
      try {
        results.get(contender)?.push(await measure(contender.commandLine));
      } finally {
        await unlimited?.();
      }
    }
  }
  return results;
}

function toRows(contenders: readonly Contender[], results: ReadonlyMap<Contender, Measurement[]>): readonly BenchRow[] {
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
