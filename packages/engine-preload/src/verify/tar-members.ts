// The members of a tar archive as GNU tar writes it for us: `--format=posix`, without sparse files.
import { headerBytes, type MemberHeader, parseMemberHeader } from './member-header.ts';

export interface ArchivedMember {
  readonly header: MemberHeader;
  /** To be taken before the next member is asked for. */
  contents(): AsyncGenerator<Uint8Array>;
}

const pieceBytes = 64 * 1024;
/** Extended headers, and GNU's long names: what describes the next member. */
const extensions = new Set(['x', 'g', 'L', 'K']);

export async function* tarMembers(stream: AsyncIterable<Uint8Array>): AsyncGenerator<ArchivedMember> {
  const iterator = stream[Symbol.asyncIterator]();
  try {
    yield* membersOf(taker(iterator));
  } finally {
    await iterator.return?.();
  }
}

type Take = (count: number) => Promise<Buffer>;

async function* membersOf(take: Take): AsyncGenerator<ArchivedMember> {
  let headers = Buffer.alloc(0);
  for (;;) {
    const block = await take(headerBytes);
    // The end mark is a block of zeros.
    if (block.length < headerBytes || block[0] === 0) return;
    headers = Buffer.concat([headers, block]);
    const { type, sizeBytes } = parseMemberHeader(block);
    if (extensions.has(type)) {
      headers = Buffer.concat([headers, await take(padded(sizeBytes))]);
      continue;
    }
    const header = parseMemberHeader(headers);
    headers = Buffer.alloc(0);
    let left = header.sizeBytes;
    const contents = async function* (): AsyncGenerator<Uint8Array> {
      while (left > 0) {
        const piece = await take(Math.min(left, pieceBytes));
        if (piece.length === 0) return;
        left -= piece.length;
        yield piece;
      }
    };
    yield { header, contents };
    for await (const _ of contents());
    await take(padded(header.sizeBytes) - header.sizeBytes);
  }
}

/** Takes so many bytes off a stream; fewer only at its end. */
function taker(iterator: AsyncIterator<Uint8Array>): Take {
  let held = Buffer.alloc(0);
  return async (count) => {
    while (held.length < count) {
      const next = await iterator.next();
      if (next.done === true) break;
      held = Buffer.concat([held, next.value]);
    }
    const bytes = held.subarray(0, count);
    held = held.subarray(count);
    return bytes;
  };
}

function padded(bytes: number): number {
  return Math.ceil(bytes / headerBytes) * headerBytes;
}
