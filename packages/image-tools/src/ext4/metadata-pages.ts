import type { ByteReader } from '@migrate/core';
import { damaged } from './ext4-error.ts';

/** Whole blocks of any size fit, as do tables of inodes read ahead. */
const pageBytes = 64 * 1024;
/** 4 MiB: the inodes of a directory lie close together, and its blocks too. */
const keptPages = 64;

/** Reads small pieces of metadata; what is given is only looked at, never changed. */
export interface MetadataPages {
  /** `length` bytes from `position`, which must not cross a multiple of 64 KiB. Throws `invalid-input` beyond the end. */
  read(position: number, length: number): Promise<Buffer>;
}

/** Keeps the pages used last. */
export function metadataPages(reader: ByteReader): MetadataPages {
  const pages = new Map<number, Promise<Buffer>>();

  const load = async (index: number): Promise<Buffer> => {
    const page = Buffer.allocUnsafeSlow(pageBytes);
    return page.subarray(0, await reader.read(page, index * pageBytes));
  };

  const pageAt = (index: number): Promise<Buffer> => {
    const kept = pages.get(index);
    const page = kept ?? load(index);
    if (kept !== undefined) pages.delete(index);
    else if (pages.size >= keptPages) {
      const [oldest = index] = pages.keys();
      pages.delete(oldest);
    }
    pages.set(index, page);
    // A read that failed may be tried again.
    if (kept === undefined) page.catch(() => pages.get(index) === page && pages.delete(index));
    return page;
  };

  return {
    read: async (position, length) => {
      const page = await pageAt(Math.floor(position / pageBytes));
      const offset = position % pageBytes;
      if (offset + length > page.length) throw damaged(`it is cut off at byte ${position}`);
      return page.subarray(offset, offset + length);
    },
  };
}
