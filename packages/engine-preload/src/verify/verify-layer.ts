// Holds the files of a layer against its record: the original tar archive is made again, and its sha256 must be the diff id.
import { createHash } from 'node:crypto';
import { type ByteReader, MigrateError, messageOf, quoted } from '@migrate/core';
import { cachePath, type Layer, layerPath, tarSplitName } from '../root/layer-store.ts';
import type { RootFiles } from '../root/root-files.ts';
import { differenceFrom, headerBytes, parseMemberHeader, statusOf } from './member-header.ts';
import { tarMembers } from './tar-members.ts';
import { readTarSplit } from './tar-split.ts';

export interface LayerFindings {
  /** What is wrong, in sentences. Empty where the layer is proven. */
  readonly faults: readonly string[];
  /** Bytes of files that were read. */
  readonly bytes: number;
}

/** A tar archive that has the names below `base`, with their extended attributes; it may have others too. */
export type ArchiveOf = (base: string, names: readonly Buffer[]) => AsyncIterable<Uint8Array>;

const faultLimit = 20;
const readBytes = 1024 * 1024;
/** Of a member's headers and records so much is kept: names and owners are in it. */
const longestHeaders = 64 * 1024;
const whiteoutPrefix = '.wh.';
const opaqueMarker = '.wh..wh..opq';

interface LayerCheck {
  readonly files: RootFiles;
  readonly base: string;
  readonly hash: ReturnType<typeof createHash>;
  readonly faults: string[];
  /** Extended attributes that must be there, by the name that has them, in latin1. */
  readonly attributes: Map<string, ReadonlyMap<string, string>>;
  readonly archiveOf: ArchiveOf;
  /** Names that the archive has, and directories above them. */
  readonly known: Map<string, 'directory' | 'other'>;
  bytes: number;
}

/** Reads every file of a layer. Damage is told in the result; what cannot be read for other reasons is thrown. */
export async function verifyLayer(files: RootFiles, layer: Layer, archiveOf: ArchiveOf): Promise<LayerFindings> {
  const base = `${cachePath(layer.cacheId)}/diff`;
  const check: LayerCheck = {
    files,
    base,
    hash: createHash('sha256'),
    faults: [],
    attributes: new Map(),
    archiveOf,
    known: new Map([['', 'directory']]),
    bytes: 0,
  };
  const path = `${layerPath(layer.chainId)}/${tarSplitName}`;
  const reader = await files.open(path);
  try {
    let tail = Buffer.alloc(0);
    for await (const entry of readTarSplit(reader, path)) {
      if (entry.kind === 'segment') {
        check.hash.update(entry.bytes);
        tail = Buffer.concat([tail, entry.bytes]).subarray(-longestHeaders);
      } else {
        await checkMember(check, { ...entry, header: tail });
        tail = Buffer.alloc(0);
      }
      if (check.faults.length >= faultLimit)
        return { faults: [...check.faults, 'and perhaps more'], bytes: check.bytes };
    }
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code !== 'invalid-input') throw thrown;
    check.faults.push(messageOf(thrown));
  } finally {
    await reader.close();
  }
  const digest = `sha256:${check.hash.digest('hex')}`;
  if (check.faults.length === 0 && digest !== layer.diffId)
    check.faults.push(`the contents of its files have been changed: its archive has ${digest}, not ${layer.diffId}`);
  await checkAttributes(check);
  if (check.faults.length === 0) await findStrangers(check, '');
  return { faults: check.faults, bytes: check.bytes };
}

async function checkMember(
  check: LayerCheck,
  { name, sizeBytes, header }: { name: Buffer; sizeBytes: number; header: Buffer },
): Promise<void> {
  // Names that are not UTF-8 are known by what is shown of them.
  const text = name.toString('utf8');
  const shown = quoted(text);
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) {
    check.faults.push(`${shown}: the name leads out of the layer`);
    return;
  }
  const last = parts.at(-1) ?? '';
  const above = parts.slice(0, -1).join('/');
  for (let length = 1; length < parts.length; length += 1)
    check.known.set(parts.slice(0, length).join('/'), 'directory');
  if (sizeBytes > 0 && last.startsWith(whiteoutPrefix)) check.faults.push(`${shown}: a whiteout has contents`);
  if (!Buffer.from(text, 'utf8').equals(name)) await checkRawName(check, { name, sizeBytes, header });
  else if (last === opaqueMarker) await checkOpaque(check, above);
  else if (last.startsWith(whiteoutPrefix))
    await checkWhiteout(check, [...parts.slice(0, -1), last.slice(whiteoutPrefix.length)].join('/'));
  else if (header.length >= headerBytes) await checkFile(check, { path: parts.join('/'), sizeBytes, header });
}

/** Neither Node's text nor ours can hold such a name: tar is asked for it. */
async function checkRawName(
  check: LayerCheck,
  { name, sizeBytes, header }: { name: Buffer; sizeBytes: number; header: Buffer },
): Promise<void> {
  const raw = plainName(name.toString('latin1'));
  const last = raw.slice(raw.lastIndexOf('/') + 1);
  const isWhiteout = last.startsWith(whiteoutPrefix);
  const path = isWhiteout ? `${raw.slice(0, raw.length - last.length)}${last.slice(whiteoutPrefix.length)}` : raw;
  const shown = Buffer.from(path, 'latin1').toString('utf8');
  const expected = parseMemberHeader(header);
  check.known.set(shown, expected.type === '5' ? 'directory' : 'other');
  try {
    for await (const { header: found, contents } of tarMembers(
      check.archiveOf(check.base, [Buffer.from(path, 'latin1')]),
    )) {
      if (plainName(found.name) !== path) continue;
      const { kind, represents } = statusOf(found);
      if (isWhiteout) {
        if (kind !== 'character-device' || represents?.major !== 0 || represents.minor !== 0)
          check.faults.push(`${quoted(shown)} should be a whiteout (character device 0/0)`);
        return;
      }
      const difference = differenceFrom(expected, statusOf(found), sizeBytes);
      if (difference !== undefined) check.faults.push(`${quoted(shown)} ${difference}`);
      else if (sizeBytes > 0) {
        for await (const piece of contents()) {
          check.hash.update(piece);
          check.bytes += piece.length;
        }
      }
      expectAttributes(check, path, expected.attributes);
      return;
    }
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code !== 'command-failed') throw thrown;
  }
  check.faults.push(`${quoted(shown)} is missing`);
}

async function checkOpaque(check: LayerCheck, path: string): Promise<void> {
  if ((await check.files.status(path === '' ? check.base : `${check.base}/${path}`))?.kind === 'directory')
    expectAttributes(check, Buffer.from(path).toString('latin1'), new Map([['trusted.overlay.opaque', 'y']]));
  else check.faults.push(`${quoted(path)} should be a directory`);
}

/** Engines keep these; of others it depends on the machine whether they can. */
function expectAttributes(check: LayerCheck, path: string, attributes: ReadonlyMap<string, string>): void {
  const kept = [...attributes].filter(([name]) => name === 'security.capability' || /^(user|trusted)\./.test(name));
  if (kept.length > 0) check.attributes.set(path, new Map([...(check.attributes.get(path) ?? []), ...kept]));
}

async function checkAttributes(check: LayerCheck): Promise<void> {
  const missing = new Map(check.attributes);
  if (missing.size === 0) return;
  const names = [...missing.keys()].map((path) => Buffer.from(path, 'latin1'));
  for await (const { header } of tarMembers(check.archiveOf(check.base, names))) {
    const path = plainName(header.name);
    for (const [name, value] of missing.get(path) ?? []) {
      const found = header.attributes.get(name);
      const shown = quoted(Buffer.from(path, 'latin1').toString('utf8'));
      if (found === undefined) check.faults.push(`${shown} has lost the attribute ${name}`);
      else if (found !== value) check.faults.push(`${shown} has another value in the attribute ${name}`);
    }
    missing.delete(path);
  }
  for (const path of missing.keys())
    check.faults.push(`${quoted(Buffer.from(path, 'latin1').toString('utf8'))} could not be asked for its attributes`);
}

/** "./a/b/" as "a/b". */
function plainName(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

async function checkWhiteout(check: LayerCheck, path: string): Promise<void> {
  check.known.set(path, 'other');
  const status = await check.files.status(`${check.base}/${path}`);
  const isWhiteout =
    status?.kind === 'character-device' && status.represents?.major === 0 && status.represents.minor === 0;
  if (!isWhiteout) check.faults.push(`${quoted(path)} should be a whiteout (character device 0/0)`);
}

async function checkFile(
  check: LayerCheck,
  { path, sizeBytes, header }: { path: string; sizeBytes: number; header: Buffer },
): Promise<void> {
  const place = path === '' ? check.base : `${check.base}/${path}`;
  const status = await check.files.status(place);
  if (status === undefined) {
    check.faults.push(`${quoted(path)} is missing`);
    return;
  }
  check.known.set(path, status.kind === 'directory' ? 'directory' : 'other');
  const member = parseMemberHeader(header);
  const difference = differenceFrom(member, status, sizeBytes);
  if (difference !== undefined) check.faults.push(`${quoted(path)} ${difference}`);
  else if (member.type === '1') await checkHardLink(check, { path, target: member.linkName });
  else if (sizeBytes > 0) await hashContents(check, place, sizeBytes);
  expectAttributes(check, Buffer.from(path).toString('latin1'), member.attributes);
}

/** The archive has a hard link's contents only once, under its first name: both names must have the same. */
async function checkHardLink(check: LayerCheck, { path, target }: { path: string; target: string }): Promise<void> {
  const parts = target.split('/').filter((part) => part !== '' && part !== '.');
  const [first, second] = [`${check.base}/${parts.join('/')}`, `${check.base}/${path}`];
  const [one, other] = [await check.files.status(first), await check.files.status(second)];
  const isSame =
    !parts.includes('..') &&
    one?.kind === other?.kind &&
    one?.sizeBytes === other?.sizeBytes &&
    (one?.kind !== 'file' || (await hasSameContents(await check.files.open(first), await check.files.open(second))));
  if (!isSame) check.faults.push(`${quoted(path)} is no longer a hard link to ${quoted(target)}`);
}

async function hasSameContents(one: ByteReader, other: ByteReader): Promise<boolean> {
  try {
    const [left, right] = [Buffer.alloc(readBytes), Buffer.alloc(readBytes)];
    for (let position = 0; ; position += readBytes) {
      const length = await one.read(left, position);
      if ((await other.read(right, position)) !== length) return false;
      if (!left.subarray(0, length).equals(right.subarray(0, length))) return false;
      if (length < readBytes) return true;
    }
  } finally {
    await one.close();
    await other.close();
  }
}

async function hashContents(check: LayerCheck, place: string, sizeBytes: number): Promise<void> {
  const reader: ByteReader = await check.files.open(place);
  try {
    const buffer = Buffer.alloc(Math.min(readBytes, sizeBytes));
    for (let position = 0; position < sizeBytes; ) {
      const length = await reader.read(buffer.subarray(0, Math.min(buffer.length, sizeBytes - position)), position);
      if (length === 0) break;
      check.hash.update(buffer.subarray(0, length));
      position += length;
      check.bytes += length;
    }
  } finally {
    await reader.close();
  }
}

/** Files that are in the layer's directory but not in its archive. */
async function findStrangers(check: LayerCheck, directory: string): Promise<void> {
  for (const name of await check.files.list(directory === '' ? check.base : `${check.base}/${directory}`)) {
    const path = directory === '' ? name : `${directory}/${name}`;
    const kind = check.known.get(path);
    if (kind === undefined) check.faults.push(`${quoted(path)} does not belong to the layer`);
    else if (kind === 'directory') await findStrangers(check, path);
    if (check.faults.length >= faultLimit) return;
  }
}
