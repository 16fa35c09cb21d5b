// The files of a runtime bundle, from its directory or from its archive.
import { type HostReader, MigrateError, quoted } from '@migrate/core';
import { readerStream } from '../convert/reader-stream.ts';
import { compressionOf } from '../open/image-compression.ts';
import { readImageBytes } from '../open/inflate-image.ts';
import { readTar } from '../tar/read-tar.ts';

export interface BundleFile {
  /** In the bundle: "runtime/node". */
  readonly path: string;
  readonly isExecutable: boolean;
  /** May be taken once, before the next file is asked for. */
  contents(): AsyncIterable<Uint8Array>;
}

/** A bundle has about 130 MB; nothing that is unpacked may fill the disk. */
const maximumBundleBytes = 2 * 1024 ** 3;

/**
 * All files of a bundle. Throws `invalid-input` for an archive that is damaged or would lead elsewhere, and for a bundle with
 * anything but files and directories in it.
 */
export async function* bundleFiles(host: HostReader, path: string): AsyncGenerator<BundleFile> {
  const status = await host.status(path);
  if (status === undefined) throw new MigrateError('not-found', `${path} does not exist`, { data: { path } });
  if (status.kind === 'directory') yield* directoryFiles(host, path, '');
  else yield* archiveFiles(host, path);
}

async function* directoryFiles(host: HostReader, root: string, below: string): AsyncGenerator<BundleFile> {
  for (const name of await host.list(below === '' ? root : `${root}/${below}`)) {
    const path = below === '' ? name : `${below}/${name}`;
    const status = await host.linkStatus(`${root}/${path}`);
    if (status?.kind === 'directory') yield* directoryFiles(host, root, path);
    else if (status?.kind === 'file') {
      checkName(root, path);
      const contents = () => fileStream(host, `${root}/${path}`);
      yield { path, isExecutable: (status.mode & 0o111) !== 0, contents };
    } else throw faulty(root, `${quoted(path)} is neither file nor directory`);
  }
}

async function* archiveFiles(host: HostReader, archive: string): AsyncGenerator<BundleFile> {
  const source = await host.openRead(archive);
  try {
    if ((await compressionOf(source, archive)) !== 'gzip') throw faulty(archive, 'it is no .tar.gz');
    const options = { path: archive, compression: 'gzip', maximumBytes: maximumBundleBytes } as const;
    for await (const member of readTar(readImageBytes(source, options))) {
      const path = Buffer.from(member.path, 'latin1')
        .toString()
        .replace(/^(\.\/)?[^/]*\/?/, '');
      if (member.kind === 'directory') continue;
      if (member.kind !== 'file') throw faulty(archive, `${quoted(path)} is neither file nor directory`);
      checkName(archive, path);
      yield { path, isExecutable: (member.mode & 0o111) !== 0, contents: member.contents };
    }
  } finally {
    await source.close();
  }
}

/** Names that stay inside, and that every `sha256sum -c` reads the same. */
function checkName(bundle: string, path: string): void {
  const isPlain = /^[\w.@+~-][\w.@+~ -]*(\/[\w.@+~-][\w.@+~ -]*)*$/.test(path);
  if (!isPlain || path.split('/').some((part) => part === '.' || part === '..'))
    throw faulty(bundle, `it has a file of the name ${quoted(path)}, which no bundle has`);
}

/** The bytes of a file in order. */
export async function* fileStream(host: HostReader, path: string): AsyncGenerator<Uint8Array> {
  const reader = await host.openRead(path);
  try {
    yield* readerStream(reader);
  } finally {
    await reader.close();
  }
}

function faulty(path: string, why: string): MigrateError {
  return new MigrateError('invalid-input', `${path} is no bundle: ${why}`, { data: { path } });
}
