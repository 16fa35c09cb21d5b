// Where the bytes of a lifeboat's files come from.
import {
  type AreaPlace,
  type ByteReader,
  type Host,
  type LifeboatFile,
  MigrateError,
  readerOf,
  windowOf,
} from '@migrate/core';

export interface LifeboatSource {
  /** Path in its volume, without a slash before it; for data a name. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Where it was proven before. */
  readonly sha256?: string;
  readonly open: () => Promise<ByteReader>;
  /** One of many: neighbours of this kind are one piece of the record, which has no room for each. */
  readonly isOneOfMany?: true;
}

/** The kernel looks for a cpio archive at multiples of it (init/initramfs.c), and passes over zeros before. */
const archiveAlignBytes = 4;

/** Throws `not-found` where one of them is no file or directory. */
export async function lifeboatSources(host: Host, files: readonly LifeboatFile[]): Promise<readonly LifeboatSource[]> {
  return (await Promise.all(files.map((file) => sourcesOf(host, file)))).flat();
}

async function sourcesOf(host: Host, file: LifeboatFile): Promise<readonly LifeboatSource[]> {
  const { path } = file;
  if ('text' in file) return [textSource(file)];
  if ('area' in file) return [areaSource(host, path, file.area)];
  if ('archives' in file) return [await joinedArchives(host, path, file.archives)];
  if ('fromDirectory' in file) return directorySources(host, file);
  return [await fileSource(host, path, file.from)];
}

/** The error for one that is not what stage 1 has sealed. */
export function changedSource(path: string): MigrateError {
  return new MigrateError('verify-mismatch', `${path} of the lifeboat has changed since stage 1`);
}

export function textSource({ path, text, encoding }: Extract<LifeboatFile, { text: string }>): LifeboatSource {
  const bytes = Buffer.from(text, encoding);
  return { path, sizeBytes: bytes.length, open: async () => readerOf(bytes) };
}

function areaSource(host: Host, path: string, { path: disk, startByte, sizeBytes }: AreaPlace): LifeboatSource {
  const open = async (): Promise<ByteReader> => {
    const reader = await host.openRead(disk);
    return { ...windowOf(reader, startByte, sizeBytes), close: () => reader.close() };
  };
  return { path, sizeBytes, open };
}

async function fileSource(host: Host, path: string, from: string): Promise<LifeboatSource> {
  const status = await host.status(from);
  if (status?.kind !== 'file') throw new MigrateError('not-found', `${from} is no file`);
  return { path, sizeBytes: status.sizeBytes, open: () => host.openRead(from) };
}

async function directorySources(
  host: Host,
  {
    path,
    fromDirectory,
    names,
  }: { readonly path: string; readonly fromDirectory: string; readonly names?: readonly string[] },
): Promise<readonly LifeboatSource[]> {
  if ((await host.status(fromDirectory))?.kind !== 'directory')
    throw new MigrateError('not-found', `${fromDirectory} is no directory`);
  const sources: LifeboatSource[] = [];
  for (const name of names ?? (await host.list(fromDirectory))) {
    const from = `${fromDirectory}/${name}`;
    if (names === undefined && (await host.status(from))?.kind !== 'file') continue;
    sources.push({ ...(await fileSource(host, path === '' ? name : `${path}/${name}`, from)), isOneOfMany: true });
  }
  return sources;
}

async function joinedArchives(host: Host, path: string, archives: readonly string[]): Promise<LifeboatSource> {
  const parts = await Promise.all(archives.map((from) => fileSource(host, from, from)));
  const sizeBytes = parts.reduce((sum, part) => aligned(sum) + part.sizeBytes, 0);
  const open = async (): Promise<ByteReader> => {
    const readers: ByteReader[] = [];
    try {
      for (const part of parts) readers.push(await part.open());
    } catch (thrown) {
      for (const reader of readers) await reader.close();
      throw thrown;
    }
    return joined(readers, sizeBytes);
  };
  return { path, sizeBytes, open };
}

function joined(readers: readonly ByteReader[], sizeBytes: number): ByteReader {
  return {
    sizeBytes,
    read: async (target, position) => {
      const length = Math.max(0, Math.min(target.length, sizeBytes - position));
      target.fill(0, 0, length);
      let begin = 0;
      for (const reader of readers) {
        const from = Math.max(position, begin);
        const to = Math.min(position + length, begin + reader.sizeBytes);
        if (from < to) {
          const wanted = target.subarray(from - position, to - position);
          const count = await reader.read(wanted, from - begin);
          if (count < wanted.length) return from - position + count;
        }
        begin = aligned(begin + reader.sizeBytes);
      }
      return length;
    },
    close: async () => {
      for (const reader of readers) await reader.close();
    },
  };
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / archiveAlignBytes) * archiveAlignBytes;
}
