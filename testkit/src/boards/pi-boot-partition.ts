// The files of the partition that a Pi's firmware reads, taken off a card with other tools than those that are tested.
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { execa } from 'execa';
import type { BootFiles } from './pi-firmware.ts';

/** MBR types of FAT. */
const fatTypes = new Set([0x01, 0x04, 0x06, 0x0b, 0x0c, 0x0e]);

/** Undefined where the card has no FAT among its four primary partitions, or none that can be read. */
export async function readBootPartition(card: string, directory: string): Promise<BootFiles | undefined> {
  const place = await firstFat(card);
  if (place === undefined) return undefined;
  const target = join(directory, 'boot');
  await rm(target, { recursive: true, force: true });
  await mkdir(target);
  // What is damaged is left out, as the firmware reads only what it needs.
  await execa('mcopy', ['-s', '-n', '-i', `${card}@@${place.startByte}`, '::*', target], {
    reject: false,
  });
  const files = new Map<string, Uint8Array>();
  for (const entry of await readdir(target, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    files.set(relative(target, path), await readFile(path));
  }
  return files.size === 0 ? undefined : files;
}

/** The partition that the firmware reads, by the table of the card. */
export async function firstFat(
  card: string,
): Promise<{ readonly startByte: number; readonly sizeBytes: number } | undefined> {
  const sector = Buffer.alloc(512);
  const file = await open(card);
  await file.read(sector, 0, sector.length, 0).finally(() => file.close());
  if (sector.readUInt16LE(510) !== 0xaa55) return undefined;
  for (let entry = 446; entry < 510; entry += 16)
    if (fatTypes.has(sector.readUInt8(entry + 4)))
      return { startByte: sector.readUInt32LE(entry + 8) * 512, sizeBytes: sector.readUInt32LE(entry + 12) * 512 };
  return undefined;
}
