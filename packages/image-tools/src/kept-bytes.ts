/** The parts of a passing image that an inspection asks for: its start, its end, and the start of each MiB. */
export interface KeptBytes {
  readonly keep: (chunk: Uint8Array) => void;
  /** The kept bytes from `position` on, as many as lie together; empty where none are kept. */
  readonly at: (position: number) => Uint8Array;
}

const mebibyte = 1024 * 1024;
/** Holds any partition table; for GPT also the whole of its entries. */
const headBytes = mebibyte;
/** Holds a backup GPT, which ends with the disk. */
const tailBytes = 64 * 1024;
/** Holds an extended boot record or the superblock of ext4 or FAT, as partitions start at whole MiB. */
const pageBytes = 8 * 1024;
/** 16 MiB of pages; what lies further back in an image is read from the image again. */
const maximumPages = 2048;
const none = new Uint8Array();

/** Bounded memory of an image that is inflated once, so that its inspection need not inflate it again. */
export function createKeptBytes(): KeptBytes {
  const head = Buffer.alloc(headBytes);
  const pages: Buffer[] = [];
  let tail = Buffer.alloc(0);
  let total = 0;
  return {
    keep: (chunk) => {
      if (total < headBytes) head.set(chunk.subarray(0, headBytes - total), total);
      keepPages(pages, chunk, total);
      tail = Buffer.concat([tail, chunk.subarray(-tailBytes)]).subarray(-tailBytes);
      total += chunk.length;
    },
    at: (position) => {
      if (position >= total) return none;
      if (position < headBytes) return head.subarray(position, Math.min(headBytes, total));
      if (position >= total - tail.length) return tail.subarray(position - (total - tail.length));
      const page = pages[Math.floor(position / mebibyte)];
      return page?.subarray(position % mebibyte) ?? none;
    },
  };
}

function keepPages(pages: Buffer[], chunk: Uint8Array, chunkStart: number): void {
  const chunkEnd = chunkStart + chunk.length;
  const first = Math.floor(chunkStart / mebibyte);
  for (let index = first; index < maximumPages && index * mebibyte < chunkEnd; index += 1) {
    const pageStart = index * mebibyte;
    const from = Math.max(chunkStart, pageStart);
    const to = Math.min(chunkEnd, pageStart + pageBytes);
    if (from >= to) continue;
    // Only what has come is part of the page, so that a page never shows zeros that the image does not have.
    const before = pages[index] ?? Buffer.alloc(0);
    pages[index] = Buffer.concat([before, chunk.subarray(from - chunkStart, to - chunkStart)]);
  }
}
