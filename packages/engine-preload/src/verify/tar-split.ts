// tar-split.json.gz: the engine's record of a layer's original tar archive, from which and from the layer's files it makes the same
// bytes again. One JSON object a line: https://github.com/vbatts/tar-split, tar/storage/entry.go.
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { type ByteReader, isSystemError, MigrateError } from '@migrate/core';
import { asCount, asObject, parseJson } from '../root/json-file.ts';

/** A piece of the archive: bytes as they are (headers and padding), or the contents of a file. */
export type TarSplitEntry =
  | { readonly kind: 'segment'; readonly bytes: Buffer }
  | {
      readonly kind: 'file';
      /** Name of the member as it is in the archive: bytes, since it need not be UTF-8. */
      readonly name: Buffer;
      /** Bytes of contents; 0 for what has none, as directories and links. */
      readonly sizeBytes: number;
    };

/** A segment holds the headers of one member; pax records and long names make it large, but not this large. */
const lineLimitBytes = 16 * 1024 * 1024;
const readBytes = 256 * 1024;

/** The entries of a compressed record, in order. Throws `invalid-input` for damage, naming `where` and the line. */
export async function* readTarSplit(reader: ByteReader, where: string): AsyncGenerator<TarSplitEntry> {
  let number = 0;
  for await (const line of linesOf(reader, where)) {
    number += 1;
    if (line.length > 0) yield parseEntry(line, `${where}, line ${number}`);
  }
}

function parseEntry(line: Buffer, where: string): TarSplitEntry {
  const entry = asObject(parseJson(line, where), where);
  const payload = entry.get('payload');
  if (entry.get('type') === 2) {
    if (payload !== null && typeof payload !== 'string')
      throw new MigrateError('invalid-input', `${where}: the payload must be text`);
    return { kind: 'segment', bytes: Buffer.from(payload ?? '', 'base64') };
  }
  if (entry.get('type') !== 1) throw new MigrateError('invalid-input', `${where}: the type must be 1 or 2`);
  const raw = entry.get('name_raw');
  const name = entry.get('name');
  return {
    kind: 'file',
    name: typeof raw === 'string' ? Buffer.from(raw, 'base64') : Buffer.from(typeof name === 'string' ? name : ''),
    sizeBytes: asCount(entry.get('size') ?? 0, `${where}: size`),
  };
}

async function* linesOf(reader: ByteReader, where: string): AsyncGenerator<Buffer> {
  const unpacked = Readable.from(chunksOf(reader)).pipe(createGunzip());
  let parts: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of unpacked as AsyncIterable<Buffer>) {
      let start = 0;
      for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, start)) {
        yield Buffer.concat([...parts, chunk.subarray(start, end)]);
        parts = [];
        length = 0;
        start = end + 1;
      }
      parts.push(chunk.subarray(start));
      length += chunk.length - start;
      if (length > lineLimitBytes)
        throw new MigrateError('invalid-input', `${where} has a line of more than ${lineLimitBytes} bytes`);
    }
  } catch (thrown) {
    if (thrown instanceof MigrateError || isSystemError(thrown) || !isInflateError(thrown)) throw thrown;
    throw new MigrateError('invalid-input', `${where} is no complete gzip file`, { cause: thrown });
  } finally {
    unpacked.destroy();
  }
  if (length > 0) yield Buffer.concat(parts);
}

function isInflateError(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && String(thrown.code).startsWith('Z_');
}

async function* chunksOf(reader: ByteReader): AsyncGenerator<Buffer> {
  for (let position = 0; position < reader.sizeBytes; ) {
    const chunk = Buffer.alloc(Math.min(readBytes, reader.sizeBytes - position));
    const length = await reader.read(chunk, position);
    if (length === 0) return;
    yield chunk.subarray(0, length);
    position += length;
  }
}
