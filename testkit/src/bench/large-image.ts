// The program of the memory test: proves an image, flashes it onto a disk that keeps nothing but its size, verifies that disk
// (it reads as zeros, which is what the image of the test holds), and prints the peak of its resident memory in KiB.
import { type ByteWriter, createNodeHost } from '@migrate/core';
import { differingChunks, flashImage, proveImage, readCommitBytes } from '@migrate/image-tools';

const [path = ''] = process.argv.slice(2);
const host = createNodeHost();
const emit = (): void => {};
const image = await proveImage({ host, path, emit });
let writtenBytes = 0;
const target: ByteWriter = {
  sizeBytes: image.sizeBytes,
  read: async (bytes, position) => {
    const count = Math.max(0, Math.min(bytes.length, image.sizeBytes - position));
    bytes.fill(0, 0, count);
    return count;
  },
  write: async (bytes) => {
    writtenBytes += bytes.length;
  },
  flush: async () => {},
  close: async () => {},
};
const source = await host.openRead(path);
await flashImage({ source, image, target, emit });
const commitBytes = await readCommitBytes(source, image);
const differing = await differingChunks({ target, image, commitBytes, emit });
console.log(
  JSON.stringify({
    sizeBytes: image.sizeBytes,
    writtenBytes,
    differing,
    peakRssKib: process.resourceUsage().maxRSS,
  }),
);
