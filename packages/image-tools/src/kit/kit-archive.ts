// A kit as a tar archive: the same kit gives the same bytes.
import { type HostReader, throwIfCancelled } from '@migrate/core';
import { type PaxRecord, paxHeader } from '../extract/pax-records.ts';
import { fitsTarField, tarBlockBytes, tarHeader, tarNameBytes, tarPadding } from '../extract/tar-header.ts';
import { fileStream } from './bundle-files.ts';
import type { KitEntry } from './kit-files.ts';

export interface KitArchiveRequest {
  readonly host: HostReader;
  /** Where the files lie. */
  readonly root: string;
  /** Name of the directory that the archive unpacks to. */
  readonly name: string;
  readonly entries: readonly Pick<KitEntry, 'path' | 'mode' | 'sizeBytes'>[];
  readonly signal?: AbortSignal | undefined;
}

/** 2000-01-01, as in the bundle's own archive: a kit does not tell when it was made. */
const modifiedS = 946_684_800;

/** Owner is root, since root runs it; directories come before what is in them. */
export async function* kitArchive({
  host,
  root,
  name,
  entries,
  signal,
}: KitArchiveRequest): AsyncGenerator<Uint8Array> {
  const made = new Set<string>();
  for (const { path, mode, sizeBytes } of entries) {
    throwIfCancelled(signal);
    for (const directory of parentsOf(`${name}/${path}`)) {
      if (!made.has(directory)) yield header({ type: '5', path: `${directory}/`, mode: 0o755, sizeBytes: 0 });
      made.add(directory);
    }
    yield header({ type: '0', path: `${name}/${path}`, mode, sizeBytes });
    yield* fileStream(host, `${root}/${path}`);
    yield Buffer.alloc(tarPadding(sizeBytes));
  }
  yield Buffer.alloc(2 * tarBlockBytes);
}

function parentsOf(path: string): readonly string[] {
  const parts = path.split('/');
  return parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join('/'));
}

interface Entry {
  readonly type: '0' | '5';
  readonly path: string;
  readonly mode: number;
  readonly sizeBytes: number;
}

function header({ type, path, mode, sizeBytes }: Entry): Buffer {
  const bytes = Buffer.from(path);
  const records: PaxRecord[] = [];
  if (bytes.length > tarNameBytes) records.push(['path', bytes]);
  if (!fitsTarField(sizeBytes, 12)) records.push(['size', String(sizeBytes)]);
  return Buffer.concat([paxHeader(records), tarHeader({ type, path: bytes, mode, sizeBytes, modifiedS })]);
}
