// What a layer's archive holds, one name at a time. The reader comes from outside: this package knows no archive format.
import type { ByteRange, DeviceNumber, ExtendedAttribute } from '@migrate/core';

export interface LayerMember {
  /** One character for each byte (latin1): names need not be UTF-8. */
  readonly path: string;
  readonly kind: 'file' | 'directory' | 'symlink' | 'block-device' | 'character-device' | 'fifo' | 'hard-link';
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Size of a file, holes included. */
  readonly sizeBytes: number;
  /** Ranges of a file that hold data, ascending; between them it reads as zeros. */
  readonly ranges: readonly ByteRange[];
  /** Nanoseconds since 1970. */
  readonly modifiedNs: bigint;
  /** Target of a symlink, or path of a hard link's other name, one character for each byte. */
  readonly linkName: string;
  readonly represents?: DeviceNumber;
  readonly attributes: readonly ExtendedAttribute[];
  readonly hasAcl: boolean;
  /** The file's bytes with its holes as zeros; may be taken once, before the next member is asked for. */
  contents(): AsyncIterable<Uint8Array>;
}

/** Reads an uncompressed archive; throws `invalid-input` for damage. */
export type ReadTar = (stream: AsyncIterable<Uint8Array>) => AsyncIterable<LayerMember>;

/** A small file or directory of the engine's own, owned by root. */
export function ownMember(path: string, { mode, text }: { mode: number; text?: string | Uint8Array }): LayerMember {
  const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : (text ?? new Uint8Array());
  return {
    path,
    kind: text === undefined ? 'directory' : 'file',
    mode,
    uid: 0,
    gid: 0,
    sizeBytes: bytes.length,
    ranges: [{ startByte: 0, endByte: bytes.length }],
    modifiedNs: 0n,
    linkName: '',
    attributes: [],
    hasAcl: false,
    contents: async function* () {
      yield bytes;
    },
  };
}
