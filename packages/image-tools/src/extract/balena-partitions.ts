import { isExtended, MigrateError, type Partition, type PartitionName } from '@migrate/core';
import type { Inspection } from '../inspect/inspect-image.ts';

/** The five partitions of balenaOS in the order of the table, with the labels that name them and their archives. */
export const balenaPartitions: readonly { readonly name: PartitionName; readonly label: string }[] = [
  { name: 'boot', label: 'resin-boot' },
  { name: 'rootA', label: 'resin-rootA' },
  { name: 'rootB', label: 'resin-rootB' },
  { name: 'state', label: 'resin-state' },
  { name: 'data', label: 'resin-data' },
];

/** Where the five lie. Throws `wrong-image` for a flasher image, and for one that lacks some of them, naming these. */
export function findBalenaPartitions({ kind, labels, table }: Inspection): Readonly<Record<PartitionName, Partition>> {
  if (kind === 'balena-flasher') {
    throw new MigrateError(
      'wrong-image',
      'it is a flasher image, which installs another image that lies inside of it: take that one out with --img',
    );
  }
  const found: Partial<Record<PartitionName, Partition>> = {};
  for (const { name, label } of balenaPartitions) {
    const partition = table.partitions[labels[label] ?? -1];
    if (partition !== undefined) found[name] = partition;
  }
  const { boot, rootA, rootB, state, data } = found;
  if (boot === undefined || rootA === undefined || rootB === undefined || state === undefined || data === undefined) {
    const missing = balenaPartitions.filter(({ name }) => found[name] === undefined).map(({ label }) => label);
    throw new MigrateError('wrong-image', `it is no image of balenaOS: there is no partition ${missing.join(', ')}`);
  }
  return { boot, rootA, rootB, state, data };
}

/** Partitions that are not among the five, by number: archives of the five leave them out. */
export function otherPartitions({ table, labels }: Inspection): readonly Partition[] {
  const known = balenaPartitions.map(({ label }) => labels[label]);
  return table.partitions.filter(
    (partition, index) => !known.includes(index) && !(table.kind === 'mbr' && isExtended(partition.type)),
  );
}
