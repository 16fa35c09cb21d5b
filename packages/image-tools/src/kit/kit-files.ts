// The files of a kit as they lie on disk, with their checksums.
import { createHash } from 'node:crypto';
import { type Host, type HostReader, MigrateError, throwIfCancelled } from '@migrate/core';
import { fileStream } from './bundle-files.ts';
import { sumsName } from './kit-layout.ts';

export interface KitEntry {
  /** In the kit: "migrate-linux-x64/runtime/node". */
  readonly path: string;
  readonly mode: number;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** All files of a directory but its checksums, by name; throws `invalid-input` for anything but files and directories. */
export async function kitEntries(host: HostReader, root: string, signal?: AbortSignal): Promise<readonly KitEntry[]> {
  const entries: KitEntry[] = [];
  for (const path of await pathsIn(host, root, '')) {
    if (path === sumsName) continue;
    throwIfCancelled(signal);
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of fileStream(host, `${root}/${path}`)) {
      hash.update(chunk);
      sizeBytes += chunk.length;
    }
    const mode = (await host.status(`${root}/${path}`))?.mode ?? 0;
    entries.push({ path, mode, sizeBytes, sha256: hash.digest('hex') });
  }
  return entries;
}

/** The text of SHA256SUMS, as sha256sum(1) writes and checks it. */
export function sumsText(entries: readonly KitEntry[]): string {
  return entries.map(({ path, sha256 }) => `${sha256}  ${path}\n`).join('');
}

/**
 * Whether a kit may take the place of what is there: nothing, an empty directory, an archive (a file), or an older kit with
 * nothing in it that is not its own. Throws `unsupported` for all else, which nobody wants to lose.
 */
export async function replaceable(host: HostReader, output: string, isArchive: boolean): Promise<'new' | 'overwrites'> {
  const status = await host.linkStatus(output);
  if (status === undefined) return 'new';
  if (status.kind !== (isArchive ? 'file' : 'directory'))
    throw new MigrateError('unsupported', `${output} is there and is no ${isArchive ? 'file' : 'directory'}`);
  if (isArchive) return 'overwrites';
  const paths = await pathsIn(host, output, '');
  if (paths.length === 0) return 'new';
  const sums = (await host.readText(`${output}/${sumsName}`)) ?? '';
  const own = new Set([sumsName, ...sums.split('\n').map((line) => line.slice(66))]);
  const foreign = paths.find((path) => !own.has(path));
  if (foreign === undefined) return 'overwrites';
  throw new MigrateError(
    'unsupported',
    `${output} has ${foreign} in it, which belongs to no kit: name another directory`,
  );
}

/** Paths of files below `root`, sorted by bytes. */
async function pathsIn(host: HostReader, root: string, below: string): Promise<string[]> {
  const paths: string[] = [];
  for (const name of await host.list(below === '' ? root : `${root}/${below}`)) {
    const path = below === '' ? name : `${below}/${name}`;
    const status = await host.linkStatus(`${root}/${path}`);
    if (status?.kind === 'directory') paths.push(...(await pathsIn(host, root, path)));
    else if (status?.kind === 'file') paths.push(path);
    else throw new MigrateError('invalid-input', `${root}/${path} is neither file nor directory`);
  }
  return paths.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}

/** Makes the directories that lead to `path` below `root`, where they are not there yet. */
export async function makeParents(host: Host, root: string, path: string): Promise<void> {
  const parts = path.split('/').slice(0, -1);
  for (let depth = 1; depth <= parts.length; depth += 1) {
    const directory = `${root}/${parts.slice(0, depth).join('/')}`;
    if ((await host.status(directory)) === undefined) await host.makeDirectory(directory, 0o755);
  }
}

/** Streams a new file, durable under its name only when it is complete. */
export async function writeStream(
  host: Host,
  path: string,
  { contents, mode }: { contents: AsyncIterable<Uint8Array>; mode: number },
): Promise<void> {
  const file = await host.createFile(path, { mode });
  try {
    for await (const chunk of contents) await file.write(chunk, file.sizeBytes);
    await file.commit();
  } finally {
    await file.close();
  }
}
