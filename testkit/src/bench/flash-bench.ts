// Compares our flashing, proving and verifying with what one would type instead, in turns within one run, so that a busy
// machine slows all of them alike. Needs root, a free loop device and about three times the image's size in /dev/shm.
import { randomFillSync } from 'node:crypto';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { bundleProgram, stage2NodeFlags } from './bundle-program.ts';
import { type Measurement, measure, median } from './measure.ts';

export interface FlashBenchOptions {
  readonly rounds: number;
  readonly imageMib: number;
}

export interface BenchRow extends Measurement {
  readonly task: string;
  readonly way: 'ours' | 'usual' | 'zlib-sync';
  /** Median wall time over that of the usual way of the same task. */
  readonly ratio: number;
}

export interface Contender {
  readonly task: string;
  readonly way: BenchRow['way'];
  readonly commandLine: string;
}

const mebibyte = 1024 * 1024;

/** Runs all contenders `rounds` times in turns; rows of medians, those of one task together. */
export async function runFlashBench({ rounds, imageMib }: FlashBenchOptions): Promise<readonly BenchRow[]> {
  // In memory: what is compared are programs, not disks.
  const directory = await mkdtemp('/dev/shm/flash-bench-');
  let device: string | undefined;
  try {
    const image = join(directory, 'image');
    await makeImage(image, imageMib);
    await execa('gzip', ['-6', '-k', image]);
    const program = await bundleProgram('image-actions', directory);
    const backing = join(directory, 'disk');
    await execa('fallocate', ['-l', `${imageMib + 64}M`, backing]);
    device = (await execa('losetup', ['--find', '--show', backing])).stdout.trim();
    const contenders = listContenders({ directory, device, program });
    const results = await takeTurns(contenders, rounds);
    await execa('cmp', ['-n', String(imageMib * mebibyte), image, device]);
    return toRows(contenders, results);
  } finally {
    if (device !== undefined) await execa('losetup', ['-d', device]);
    await rm(directory, { recursive: true, force: true });
  }
}

function listContenders({
  directory,
  device,
  program,
}: {
  directory: string;
  device: string;
  program: string;
}): readonly Contender[] {
  const packed = join(directory, 'image.gz');
  const ours = (action: string): string =>
    `node ${stage2NodeFlags.join(' ')} ${program} ${action} ${packed} ${directory}/facts.json ${device}`;
  // Proving comes first, since the other two need the facts that it finds.
  return [
    { task: 'prove', way: 'usual', commandLine: `sha256sum ${packed} && gzip -dc ${packed} | sha256sum` },
    { task: 'prove', way: 'ours', commandLine: ours('prove') },
    {
      task: 'flash',
      way: 'usual',
      commandLine: `gzip -dc ${packed} | dd of=${device} bs=4M iflag=fullblock conv=fsync`,
    },
    { task: 'flash', way: 'ours', commandLine: ours('flash') },
    {
      task: 'verify',
      way: 'usual',
      commandLine: `gzip -dc ${packed} | cmp -n $(stat -c %s ${directory}/image) - ${device}`,
    },
    { task: 'verify', way: 'ours', commandLine: ours('verify') },
  ];
}

export async function takeTurns(
  contenders: readonly Contender[],
  rounds: number,
): Promise<ReadonlyMap<Contender, Measurement[]>> {
  const results = new Map(contenders.map((contender) => [contender, [] as Measurement[]]));
  for (let round = 0; round < rounds; round += 1) {
    for (const contender of contenders) results.get(contender)?.push(await measure(contender.commandLine));
  }
  return results;
}

export function toRows(
  contenders: readonly Contender[],
  results: ReadonlyMap<Contender, Measurement[]>,
): readonly BenchRow[] {
  const medianOf = (contender: Contender | undefined, key: keyof Measurement): number =>
    median((contender === undefined ? [] : (results.get(contender) ?? [])).map((measurement) => measurement[key]));
  return contenders.map((contender) => {
    const usual = contenders.find(({ task, way }) => task === contender.task && way === 'usual');
    const wallSeconds = medianOf(contender, 'wallSeconds');
    return {
      task: contender.task,
      way: contender.way,
      wallSeconds,
      cpuSeconds: medianOf(contender, 'cpuSeconds'),
      peakRssMib: medianOf(contender, 'peakRssMib'),
      ratio: wallSeconds / medianOf(usual, 'wallSeconds'),
    };
  });
}

/** A GPT image of three parts noise, three parts text and four parts zeros, mixed by the MiB: about as balenaOS packs. */
export async function makeImage(path: string, sizeMib: number): Promise<void> {
  await writeFile(path, '');
  const noise = Buffer.alloc(mebibyte);
  const text = Buffer.alloc(mebibyte);
  const zeros = Buffer.alloc(mebibyte);
  for (let mib = 0; mib < sizeMib; mib += 1) {
    if (mib % 10 < 3) await appendFile(path, randomFillSync(noise));
    else if (mib % 10 < 6) await appendFile(path, fillWithText(text, mib));
    else await appendFile(path, zeros);
  }
  const script = `label: gpt\nstart=8192,size=${(sizeMib - 8) * 2048},name=resin-data\n`;
  await execa('sfdisk', ['-q', path], { input: script });
}

function fillWithText(target: Buffer, seed: number): Buffer {
  let position = 0;
  for (let line = 0; position < target.length; line += 1) {
    const word = Math.imul(line + 1, seed * 2 + 0x9e3779b1) >>> 0;
    position += target.write(
      `${line} usr/lib/${word.toString(36)}/lib${(word >>> 9).toString(36)}.so.${line % 7}\n`,
      position,
    );
  }
  return target;
}
