import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readUbootImage } from './u-boot-image.ts';

/** Property of a flattened device tree: 3, length, offset of its name, value. */
function property(strings: string, name: string, value: Buffer): Buffer {
  const head = Buffer.alloc(12);
  head.writeUInt32BE(3, 0);
  head.writeUInt32BE(value.length, 4);
  head.writeUInt32BE(strings.indexOf(`${name}\0`), 8);
  return Buffer.concat([head, value, Buffer.alloc((4 - (value.length % 4)) % 4)]);
}

function node(name: string, ...contents: Buffer[]): Buffer {
  const padded = Buffer.alloc((name.length + 4) & ~3);
  padded.write(name);
  return Buffer.concat([Buffer.from([0, 0, 0, 1]), padded, ...contents, Buffer.from([0, 0, 0, 2])]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A FIT whose images name the given properties, and its own size. */
function fit(images: Readonly<Record<string, number>>[]): { bytes: Buffer; totalBytes: number } {
  const strings = 'data-offset\0data-size\0data-position\0description\0';
  const nodes = images.map((values, index) =>
    node(
      `image-${index}`,
      property(strings, 'description', Buffer.from('not a number\0')),
      ...Object.entries(values).map(([name, value]) => property(strings, name, number(value))),
    ),
  );
  const structure = Buffer.concat([node('', Buffer.from([0, 0, 0, 4]), node('images', ...nodes)), number(9)]);
  const structureAt = 56;
  const stringsAt = structureAt + structure.length;
  const totalBytes = stringsAt + strings.length;
  const head = [0xd00dfeed, totalBytes, structureAt, stringsAt, 40, 17, 16, 0, strings.length, structure.length];
  const bytes = Buffer.concat([...head.map(number), Buffer.alloc(16), structure, Buffer.from(strings)]);
  return { bytes, totalBytes };
}

describe('the end of U-Boot', () => {
  it('is where a legacy header says', () => {
    const bytes = Buffer.alloc(512);
    bytes.writeUInt32BE(0x27051956, 0);
    bytes.writeUInt32BE(387128, 12);
    bytes.write('U-Boot 2016.03-00001-gd12d09f', 32);
    expect(readUbootImage(bytes)).toEqual({ sizeBytes: 64 + 387128, name: 'U-Boot 2016.03-00001-gd12d09f' });
  });

  it('is behind the data that lie outside of a FIT', () => {
    const images = [
      { 'data-offset': 0, 'data-size': 400_000 },
      { 'data-size': 90_001, 'data-offset': 400_000 },
    ];
    const { bytes, totalBytes } = fit(images);
    expect(readUbootImage(bytes)).toEqual({ sizeBytes: ((totalBytes + 3) & ~3) + 490_001 });
    expect(readUbootImage(fit([{ 'data-position': 4096, 'data-size': 1_000_000 }]).bytes)).toEqual({
      sizeBytes: 1_004_096,
    });
  });

  it('is the end of a FIT that holds its data itself', () => {
    const { bytes, totalBytes } = fit([{}]);
    expect(readUbootImage(bytes)).toEqual({ sizeBytes: totalBytes });
  });

  it('is not known where the header is cut, or is another', () => {
    const { bytes } = fit([{ 'data-offset': 0, 'data-size': 5 }]);
    for (const length of [0, 63, 80, bytes.length - 60])
      expect(readUbootImage(bytes.subarray(0, length)), `${length}`).toBeUndefined();
    expect(readUbootImage(Buffer.alloc(8192, 7))).toBeUndefined();
  });

  it('never throws, whatever the bytes', () => {
    const damaged = fc.tuple(fc.array(fc.tuple(fc.nat(400), fc.nat(255)), { maxLength: 6 })).map(([changes]) => {
      const { bytes } = fit([{ 'data-offset': 0, 'data-size': 5 }, { 'data-position': 9 }]);
      for (const [at, value] of changes) if (at >= 4 && at < bytes.length) bytes[at] = value;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(damaged, fc.uint8Array()), (bytes) => {
        const image = readUbootImage(bytes);
        expect(image === undefined || image.sizeBytes >= 0).toBe(true);
      }),
    );
  });
});
