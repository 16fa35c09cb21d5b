import { MigrateError, type PartitionTable, readerOf } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import type { Inspection } from '../inspect/inspect-image.ts';
import { findBalenaPartitions, otherPartitions } from './balena-partitions.ts';
import { hasBootCode } from './boot-code.ts';
import { openPartitionTree } from './partition-tree.ts';

const mebibyte = 1024 * 1024;
const labelsOf = (prefix: string, names: readonly string[]) =>
  Object.fromEntries(names.map((name, index) => [`${prefix}-${name}`, index]));
const five = ['boot', 'rootA', 'rootB', 'state', 'data'];

function tableOf(kind: 'mbr' | 'gpt', types: readonly string[]): PartitionTable {
  const partitions = types.map((type, index) => ({
    number: index + 1,
    startByte: (index + 1) * mebibyte,
    sizeBytes: mebibyte,
    type,
    uuid: `${index}`,
    bootable: false,
  }));
  return { kind, id: '1', partitions };
}

const raw: Inspection = {
  table: tableOf('gpt', ['a', 'b', 'c', 'd', 'e', 'f']),
  sectorBytes: 512,
  kind: 'balena-raw',
  labels: labelsOf('resin', five),
};

describe('the five partitions', () => {
  it('are found by their labels; others are told apart, extended ones not', () => {
    expect(Object.keys(findBalenaPartitions(raw))).toEqual(['boot', 'rootA', 'rootB', 'state', 'data']);
    expect(otherPartitions(raw).map(({ number }) => number)).toEqual([6]);
    const mbr = { ...raw, table: tableOf('mbr', ['0e', '83', '83', '83', '83', '0f', '82']) };
    expect(otherPartitions(mbr).map(({ number }) => number)).toEqual([7]);
  });

  it('are missing in a flasher image and in other disks, which is said with a cure or a name', () => {
    const flasher: Inspection = { ...raw, kind: 'balena-flasher', labels: labelsOf('flash', five) };
    expect(() => findBalenaPartitions(flasher)).toThrow('it is a flasher image, which installs another image');
    const other: Inspection = { ...raw, kind: 'unknown', labels: labelsOf('resin', ['boot', 'rootA', 'rootB']) };
    expect(() => findBalenaPartitions(other)).toThrow('there is no partition resin-state, resin-data');
  });
});

describe('boot code', () => {
  const disk = (place?: number): Buffer => {
    const bytes = Buffer.alloc(2 * mebibyte);
    bytes.writeUInt16LE(0xaa55, 510);
    bytes.fill(1, 446, 462);
    if (place !== undefined) bytes[place] = 1;
    return bytes;
  };

  it.each([
    ['mbr', undefined, false],
    ['mbr', 0, true],
    ['mbr', 439, true],
    ['mbr', 512, true],
    ['mbr', mebibyte - 1, true],
    ['mbr', mebibyte, false],
    ['gpt', 600, false],
    ['gpt', 34 * 512, true],
  ] as const)('%s, a byte at %s: %s', async (kind, place, found) => {
    expect(await hasBootCode(readerOf(disk(place)), { table: tableOf(kind, ['83']), sectorBytes: 512 })).toBe(found);
  });
});

it('names what else a partition holds', async () => {
  const image = Buffer.alloc(3 * mebibyte);
  image.write('LUKS\xba\xbe\0\x02', mebibyte, 'latin1');
  const [encrypted, empty] = tableOf('gpt', ['a', 'b']).partitions;
  if (encrypted === undefined || empty === undefined) throw new Error('no partitions');
  const opening = openPartitionTree(readerOf(image), encrypted);
  await expect(opening).rejects.toThrow(MigrateError);
  await expect(opening).rejects.toThrow('reading partition 1: it holds crypto_LUKS, where FAT or ext4 is expected');
  await expect(openPartitionTree(readerOf(image), empty)).rejects.toThrow('it holds no known file system');
});
