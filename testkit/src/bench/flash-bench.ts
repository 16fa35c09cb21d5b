// Compares our proving, flashing and verifying with what one would use instead, in turns within one run, so that a busy machine
// slows all of them alike. Needs root, a free loop device, and about 4 GiB in /dev/shm.
import { existsSync } from 'node:fs';
import { copyFile, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { bundleProgram, stage2NodeFlags } from './bundle-program.ts';
import { type Bench, type BenchOptions, type Contender, contest, wanted } from './contest.ts';
import { filledImage } from './filled-image.ts';
import { canLimitWrites, limitWrites } from './slow-disk.ts';

const etcherDirectory = join(import.meta.dirname, '../../etcher');
/** Whether etcher-sdk takes part; its README says how it is installed. */
export const hasEtcher = existsSync(join(etcherDirectory, 'node_modules/etcher-sdk'));

const mebibyte = 1024 * 1024;
const slowDisk = 40 * mebibyte;

export async function runFlashBench(options: BenchOptions): Promise<Bench> {
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
    const ground = { directory, device, program, packed, sizeBytes: image.sizeBytes };
    const contenders = wanted(listContenders(ground), options);
    await prepare(ground);
    const rows = await contest(contenders, options);
    await execa('cmp', ['-n', String(image.sizeBytes), image.raw, device]);
    return { sizeBytes: image.sizeBytes, rows };
  } finally {
    if (device !== undefined) await execa('losetup', ['-d', device]);
    await rm(directory, { recursive: true, force: true });
  }
}

/** What all contenders work on. */
interface Ground {
  readonly directory: string;
  readonly device: string;
  readonly program: string;
  readonly packed: string;
  readonly sizeBytes: number;
}

type Extent = 'all' | 'used';

function ourCommand({ directory, device, program, packed }: Ground, action: string, extent: Extent): string {
  return `node ${stage2NodeFlags.join(' ')} ${program} ${action} ${packed} ${directory}/${extent}.json ${device}`;
}

/** Flashing starts from what proving found, verifying from a disk that has the image. */
async function prepare(ground: Ground): Promise<void> {
  const commands = [ourCommand(ground, 'prove-used', 'used'), ourCommand(ground, 'prove-all', 'all')];
  for (const command of [...commands, ourCommand(ground, 'flash', 'all')]) await execa('bash', ['-c', command]);
}

/** The first of each task is what the others are compared with. */
function listContenders(ground: Ground): readonly Contender[] {
  const { directory, device, packed, sizeBytes } = ground;
  const bmaptool = `bmaptool -q copy --bmap ${directory}/filled.bmap ${packed} ${device}`;
  const dd = (flag: string): string => `gzip -dc ${packed} | dd of=${device} bs=4M iflag=fullblock ${flag}`;
  const etcher = `node ${etcherDirectory}/flash.mjs ${packed} ${device}`;
  const contenders: Contender[] = [];
  const add = (task: string, way: string, commandLine: string, more: Partial<Contender> = {}): void =>
    void contenders.push({ task, way, commandLine, ...more });

  add('prove', 'sha256sum, gzip | sha256sum', `sha256sum ${packed} && gzip -dc ${packed} | sha256sum`);
  add('prove', 'ours, all blocks', ourCommand(ground, 'prove-all', 'all'));
  add('prove', 'ours, finding used blocks', ourCommand(ground, 'prove-used', 'used'));

  add('flash', 'gzip | dd', dd('conv=fsync'));
  add('flash', 'bmaptool', bmaptool);
  if (hasEtcher) add('flash', 'etcher-sdk', etcher);
  add('flash', 'ours, used blocks', ourCommand(ground, 'flash', 'used'), { goal: 0.17 });
  add('flash', 'ours, all blocks', ourCommand(ground, 'flash', 'all'), { goal: 0.25 });
  add('flash', 'ours, used blocks, verified', ourCommand(ground, 'flash-verify', 'used'), { goal: 0.58 });
  if (hasEtcher) add('flash', 'etcher-sdk, verified', `${etcher} --verify`);

  add('verify', 'gzip | cmp', `gzip -dc ${packed} | cmp -n ${sizeBytes} - ${device}`);
  add('verify', 'ours, all blocks', ourCommand(ground, 'verify', 'all'));
  add('verify', 'ours, used blocks', ourCommand(ground, 'verify', 'used'));

  if (!canLimitWrites) return contenders;
  // What is written lands in the page cache first for all of them; the flush at the end waits for the disk.
  const slow = { prepare: () => limitWrites(device, slowDisk) };
  add('flash at 40 MiB/s', 'gzip | dd', dd('conv=fsync'), slow);
  add('flash at 40 MiB/s', 'bmaptool', bmaptool, slow);
  if (hasEtcher) add('flash at 40 MiB/s', 'etcher-sdk', etcher, slow);
  add('flash at 40 MiB/s', 'ours, used blocks', ourCommand(ground, 'flash', 'used'), { ...slow, goal: 0.3 });
  return contenders;
}
