import { type DiskLayout, gptEntryBytes, type PlannedPartition } from './disk-layout.ts';

/**
 * The layout as input of sfdisk (sfdisk(8), "Input formats", named fields). All starts and sizes are given, so sfdisk places
 * nothing by itself; logical partitions have room for their extended boot record before them.
 */
export function partitionScript(layout: DiskLayout): string {
  const lines = [
    `label: ${layout.table === 'mbr' ? 'dos' : 'gpt'}`,
    ...(layout.diskId === undefined ? [] : [`label-id: ${layout.table === 'mbr' ? '0x' : ''}${layout.diskId}`]),
    'unit: sectors',
    // sfdisk would keep the first MiB free, whatever starts are given.
    ...(layout.table === 'mbr' ? [] : [`first-lba: ${2 + gptEntryBytes / layout.sectorBytes}`]),
    '',
  ];
  for (const partition of layout.partitions) {
    // sfdisk counts logical partitions from 5 wherever the extended one stands.
    if (partition.number === 5 && layout.extended !== undefined)
      lines.push(`4 : start=${layout.extended.startSector}, size=${layout.extended.sectors}, type=f`);
    lines.push(partitionLine(partition, layout.table));
  }
  return `${lines.join('\n')}\n`;
}

function partitionLine(partition: PlannedPartition, table: DiskLayout['table']): string {
  const { number, startSector, sectors, type, name, uuid, label } = partition;
  const fields = [`start=${startSector}`, `size=${sectors}`, `type=${type}`];
  if (table === 'gpt') fields.push(...(uuid === undefined ? [] : [`uuid=${uuid}`]), `name="${label}"`);
  else if (name === 'boot') fields.push('bootable');
  return `${number} : ${fields.join(', ')}`;
}

/** sfdisk's arguments; it neither asks the kernel to read the table nor looks for signatures, both being done apart. */
export function partitionArguments(disk: string): readonly string[] {
  return ['--quiet', '--no-reread', '--no-tell-kernel', '--wipe', 'never', '--wipe-partitions', 'never', disk];
}
