// A second initramfs with files of this machine, which the kernel unpacks over the first one.

import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { readToEnd } from '../disk/byte-reader.ts';
import { doing, MigrateError } from '../error.ts';
import type { Host, HostReader } from '../host/host.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';

export interface PackedFile {
  readonly from: string;
  /** Path in the initramfs, without a slash before it. */
  readonly to: string;
  readonly mode: number;
}

/** A better ratio takes longer than it saves: the pack is read once or twice. */
const gzipLevel = 1;

/** Writes them gzip-compressed to `path`, a new file, durable. */
export async function packFiles(host: Host, files: readonly PackedFile[], path: string): Promise<void> {
  await doing(`packing ${path}`, 'write-failed', async () => {
    const target = await host.createFile(path, { mode: 0o600 });
    try {
      const gzip = createGzip({ level: gzipLevel });
      const source = Readable.from(writeCpio(entriesOf(host, files)));
      source.on('error', (thrown) => gzip.destroy(thrown));
      let position = 0;
      for await (const chunk of source.pipe(gzip) as AsyncIterable<Uint8Array>) {
        await target.write(chunk, position);
        position += chunk.length;
      }
      await target.commit();
    } finally {
      await target.close();
    }
  });
}

async function* entriesOf(host: HostReader, files: readonly PackedFile[]): AsyncGenerator<CpioEntry> {
  for (const { from, to, mode } of files) {
    const status = await host.status(from);
    if (status?.kind !== 'file') throw new MigrateError('not-found', `${from} is no file`);
    yield {
      path: to,
      mode,
      node: { kind: 'file', contents: { sizeBytes: status.sizeBytes, chunks: () => chunksOf(host, from) } },
    };
  }
}

async function* chunksOf(host: HostReader, path: string): AsyncGenerator<Uint8Array> {
  yield* readToEnd(await host.openRead(path));
}
