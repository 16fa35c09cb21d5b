import type { ByteReader } from '@migrate/core';
import { inflateByNode } from './inflate-node.ts';
import { inflateByZlibSync } from './inflate-zlib-sync.ts';
import type { UnpackOptions } from './stream-options.ts';

/** What inflates gzip; see docs/decisions/006-inflate-engine.md. zlib-sync is a package that need not be installed. */
export type InflateEngine = 'node' | 'zlib-sync';

/**
 * The contents of a gzip file, all of its members. Throws `invalid-input` with the byte offset for a file that is cut off,
 * damaged, or followed by anything but zeros; `not-found` where the engine is not installed.
 */
export function inflateGzip(
  source: ByteReader,
  options: UnpackOptions & { readonly engine?: InflateEngine | undefined },
): AsyncGenerator<Uint8Array> {
  return options.engine === 'zlib-sync' ? inflateByZlibSync(source, options) : inflateByNode(source, options);
}
