import { type ByteReader, MigrateError } from '@migrate/core';
import { readSlices, type UnpackOptions } from './stream-options.ts';

export interface ProgramOptions extends UnpackOptions {
  /** Starts the program. */
  readonly run: (input: AsyncIterable<Uint8Array>) => AsyncGenerator<Uint8Array>;
}

/**
 * What a program that reads from stdin and writes to stdout makes of a file. Throws `invalid-input` with what the program
 * says, and the byte up to which it was given the file; `not-found` where it is not installed.
 */
export async function* unpackByProgram(source: ByteReader, options: ProgramOptions): AsyncGenerator<Uint8Array> {
  const { run, onFileBytes } = options;
  let givenBytes = 0;
  const input = readSlices(source, {
    onFileBytes: async (bytes) => {
      givenBytes += bytes.length;
      await onFileBytes?.(bytes);
    },
  });
  try {
    yield* run(input);
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code !== 'command-failed') throw thrown;
    const said = typeof thrown.data.stderr === 'string' ? thrown.data.stderr.trim() : '';
    const message = said === '' ? thrown.message : said;
    throw new MigrateError(
      'invalid-input',
      `${options.path} is damaged before byte ${givenBytes}: ${message}; get it again from its source`,
      { cause: thrown, data: { path: options.path, offsetByte: givenBytes } },
    );
  }
}
