// What a lifeboat says of itself, at a fixed place in its reserved sectors: where its files lie, and how firmware is switched to it.
import { createHash } from 'node:crypto';
import { readExactly } from '../disk/byte-reader.ts';
import { MigrateError } from '../error.ts';
import type { ByteReader } from '../host/host.ts';

/** Where the record lies, in bytes from the lifeboat's start: behind what FAT needs, and behind the table of a GPT. */
export const lifeboatRecordStart = 48 * 512;
export const lifeboatRecordBytes = 16 * 512;

/** One write that is a single sector. */
export interface SectorWrite {
  readonly startByte: number;
  /** Base64. */
  readonly bytes: string;
}

/** A piece of a lifeboat in one run on the disk. */
export interface LifeboatPiece {
  /** The file that it is, or the next part of; absent for what makes the file system. */
  readonly path?: string;
  /** On the disk. */
  readonly startByte: number;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Plain data. */
export interface LifeboatRecord {
  readonly planId: string;
  /** Of its volume, on the disk. */
  readonly startByte: number;
  readonly sizeBytes: number;
  /** Makes the firmware boot the lifeboat. */
  readonly switch: SectorWrite;
  /** GPT: the backup header, for a primary one that a power cut tore. */
  readonly backup?: SectorWrite;
  /** As the firmware sees it once it is switched to. */
  readonly partition: { readonly number: number; readonly uuid: string };
  /** Those that only stage 2 reads lie outside of the volume. */
  readonly pieces: readonly LifeboatPiece[];
  /** Places beside it that hold passwords and keys too. */
  readonly secrets?: readonly { readonly startByte: number; readonly sizeBytes: number }[];
}

/** `lifeboatRecordBytes`: the hash of a line of JSON, and that line. */
export function serializeLifeboatRecord(record: LifeboatRecord): Uint8Array {
  const json = JSON.stringify(record);
  const text = `${digestOfText(json)}\n${json}\n`;
  if (text.length > lifeboatRecordBytes)
    throw new MigrateError('no-space', `the record of the lifeboat has ${text.length} bytes`);
  return new TextEncoder().encode(text.padEnd(lifeboatRecordBytes));
}

/** Reads the record of the lifeboat that begins at a byte of a disk; throws `verify-mismatch` where there is none of this plan. */
export async function readLifeboatRecord(
  disk: ByteReader,
  { startByte, planId }: { startByte: number; planId: string },
): Promise<LifeboatRecord> {
  const bytes = await readExactly(disk, startByte + lifeboatRecordStart, lifeboatRecordBytes);
  const [digest, json = ''] = (bytes?.toString('utf8') ?? '').split('\n');
  if (digest !== digestOfText(json))
    throw new MigrateError('verify-mismatch', `at byte ${startByte} of the disk there is no sound lifeboat`);
  const record = JSON.parse(json) as LifeboatRecord;
  if (record.planId !== planId || record.startByte !== startByte)
    throw new MigrateError('verify-mismatch', `the lifeboat at byte ${startByte} of the disk belongs to another plan`);
  return record;
}

/** The pieces that make up a file of that path, in their order; none where there is no such file. */
export function piecesOfFile(record: LifeboatRecord, path: string): readonly LifeboatPiece[] {
  return record.pieces.filter((piece) => piece.path === path);
}

function digestOfText(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
