// What stands against writing a disk file system by file system, beside what counts for every image.
import type { Assets } from '../assets/assets.ts';
import { isArchived } from '../assets/image.ts';
import type { BootManager } from '../machine/device.ts';
import type { Facts } from '../machine/facts.ts';
import { error } from './check-machine.ts';
import type { Finding } from './finding.ts';

/** Where the bundle keeps the programs that make and fill file systems. */
export const writerDirectory = 'runtime/file-systems';

export function checkArchives(
  { image, runtime }: Assets,
  { facts, manager }: { facts: Facts; manager: BootManager | undefined },
): readonly Finding[] {
  if (image === undefined || !isArchived(image)) return [];
  const findings: Finding[] = [];
  if (manager !== undefined && !manager.bootsFromPartitions(facts)) {
    findings.push(
      error(
        'archives-without-boot-code',
        'balena.image.fs',
        'this machine starts by code outside of partitions, which archives of partitions do not hold',
        'Use balena.image.dd with the whole image',
      ),
    );
  }
  if (runtime !== undefined && !runtime.files.some(({ path }) => path.startsWith(`${writerDirectory}/`))) {
    findings.push(
      error(
        'runtime-incomplete',
        `${runtime.directory}/${writerDirectory}`,
        'the programs that make file systems are missing',
        'Unpack the complete bundle again',
      ),
    );
  }
  return findings;
}
