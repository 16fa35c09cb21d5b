import { type ByteReader, MigrateError } from '@migrate/core';

const chunkBytes = 1024 * 1024;

/** All bytes of a reader in order, in chunks that the receiver may keep; `onPosition` is told how far it is. */
export async function* readerStream(
  reader: ByteReader,
  onPosition: (position: number) => void = () => {},
): AsyncGenerator<Uint8Array> {
  for (let position = 0; position < reader.sizeBytes; ) {
    const bytes = Buffer.allocUnsafeSlow(Math.min(chunkBytes, reader.sizeBytes - position));
    if ((await reader.read(bytes, position)) !== bytes.length)
      throw new MigrateError('invalid-input', `it ends after byte ${position}, before its size`);
    yield bytes;
    position += bytes.length;
    onPosition(position);
  }
}
