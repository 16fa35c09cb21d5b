import { describe, expect, it } from 'vitest';
import type { Disk } from '../machine/facts.ts';
import { findDisk, identifyDisk } from './target-disk.ts';

function disk(changes: Partial<Disk> = {}): Disk {
  const base: Disk = {
    name: 'sda',
    path: '/dev/sda',
    device: '8:0',
    sizeBytes: 4_000_000_000,
    logicalSectorSize: 512,
    isReadOnly: false,
    isRemovable: false,
    table: { kind: 'mbr', id: 'b0b0b0b0' },
    serial: 'A1',
    holders: [],
    partitions: [],
  };
  return { ...base, ...changes };
}

describe('findDisk', () => {
  const identity = identifyDisk(disk());

  it('finds the disk under another name', () => {
    const renamed = disk({ name: 'sdb', path: '/dev/sdb' });
    const other = disk({ table: { kind: 'mbr', id: 'cafecafe' }, serial: 'B2' });
    expect(findDisk([other, renamed], identity)).toBe(renamed);
  });

  it.each([
    ['size', { sizeBytes: 4_000_000_512 }],
    ['sector size', { logicalSectorSize: 4096 }],
    ['table id', { table: { kind: 'mbr' as const, id: 'cafecafe' } }],
    ['serial', { serial: 'B2' }],
  ])('refuses a disk of another %s', (_name, changes) => {
    expect(() => findDisk([disk(changes)], identity)).toThrow(/no disk is the one/);
  });

  it('refuses to choose between twins', () => {
    expect(() => findDisk([disk(), disk({ name: 'sdb', path: '/dev/sdb' })], identity)).toThrow(/more than one disk/);
  });

  it('knows a half-flashed disk by the rest of its identity', () => {
    const { table: _, ...flashed } = disk();
    expect(findDisk([flashed], identity, { ignoreTable: true })).toBe(flashed);
    expect(() => findDisk([flashed], identity)).toThrow(/no disk/);
  });
});
