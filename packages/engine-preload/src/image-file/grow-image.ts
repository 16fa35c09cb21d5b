// Makes the last partition of an image file larger: the file, the partition table, then the file system.
import { type Host, MigrateError } from '@migrate/core';
import { growExt4 } from './ext4-file.ts';
import { findPartition, type ImagePartition } from './find-partition.ts';

const mebibyte = 1024 * 1024;
/** Room for the backup of a GPT, 33 sectors, in whole units. */
const tableBytes = mebibyte;
/** MBR counts sectors with 32 bits. */
const mbrLimitBytes = 2 ** 32 * 512;

/** Enlarges resin-data by at least `moreBytes`; `aside` is the path of a file to be made and removed. Throws `unsupported` where something lies behind it, or beyond what MBR can say. */
export async function growDataPartition(
  host: Host,
  path: string,
  {
    partition,
    moreBytes,
    label,
    aside,
  }: { partition: ImagePartition; moreBytes: number; label: string; aside: string },
): Promise<ImagePartition> {
  const { number, startByte, kind, extendedNumber } = partition;
  if (!partition.isLast)
    throw new MigrateError('unsupported', `${path}: ${label} cannot grow, another partition lies behind it`);
  const sizeBytes = Math.ceil((partition.sizeBytes + moreBytes) / mebibyte) * mebibyte;
  const endByte = startByte + sizeBytes;
  if (kind === 'mbr' && endByte > mbrLimitBytes)
    throw new MigrateError('unsupported', `${path}: an MBR cannot hold ${endByte} bytes`);
  await host.run('truncate', ['--size', String(endByte + tableBytes), '--', path]);
  const sectors = `,${sizeBytes / 512}\n`;
  if (kind === 'gpt') await sfdisk(host, ['--relocate', 'gpt-bak-std', path]);
  // A logical partition cannot grow beyond the extended one around it.
  if (extendedNumber !== undefined) await sfdisk(host, ['-N', String(extendedNumber), path], ',+\n');
  await sfdisk(host, ['-N', String(number), path], sectors);
  const grown = await findPartition(host, path, label);
  if (grown.startByte !== startByte || grown.sizeBytes !== sizeBytes) {
    throw new MigrateError('verify-mismatch', `${path}: the partition ${label} did not get its new size`);
  }
  await growExt4(host, { path, offsetBytes: startByte }, { formerBytes: partition.sizeBytes, sizeBytes, aside });
  return grown;
}

async function sfdisk(host: Host, args: readonly string[], input?: string): Promise<void> {
  await host.run(
    'sfdisk',
    ['--quiet', '--no-reread', '--no-tell-kernel', ...args],
    input === undefined ? {} : { input },
  );
}
