import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseMemberHeader } from './member-header.ts';
import { tarMembers } from './tar-members.ts';

function header(name: string, type: string, sizeBytes: number): Buffer {
  const block = Buffer.alloc(512);
  block.write(name, 0, 'latin1');
  block.write('0000640\0', 100);
  block.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124);
  block.write(type, 156);
  block.write('ustar\0', 257, 'latin1');
  return block;
}

const padded = (bytes: Buffer): Buffer => Buffer.concat([bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);

function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (`${length}${rest}`.length !== length) length = `${length}${rest}`.length;
  return `${length}${rest}`;
}

function extended(records: Readonly<Record<string, string>>): Buffer {
  const text = Object.entries(records).map(([key, value]) => record(key, value));
  const bytes = Buffer.from(text.join(''), 'latin1');
  return Buffer.concat([header('pax', 'x', bytes.length), padded(bytes)]);
}

const value = fc.string({
  unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
  maxLength: 700,
});
const name = fc.string({
  unit: fc.integer({ min: 33, max: 255 }).map((code) => String.fromCharCode(code)),
  minLength: 1,
  maxLength: 90,
});

describe('members of an archive', () => {
  it('have names, attributes and contents of any bytes, however the stream is cut', async () => {
    const members = fc.array(
      fc.record({ name, attribute: fc.option(value), contents: fc.uint8Array({ maxLength: 1500 }) }),
      {
        maxLength: 5,
      },
    );
    await fc.assert(
      fc.asyncProperty(members, fc.integer({ min: 1, max: 2000 }), async (all, cut) => {
        const parts = all.flatMap(({ name: path, attribute, contents }) => [
          attribute === null ? Buffer.alloc(0) : extended({ path: `./${path}`, 'SCHILY.xattr.user.a': attribute }),
          header(path, '0', contents.length),
          padded(Buffer.from(contents)),
        ]);
        const bytes = Buffer.concat([...parts, Buffer.alloc(1024)]);
        const stream = async function* () {
          for (let at = 0; at < bytes.length; at += cut) yield bytes.subarray(at, at + cut);
        };
        const found: unknown[] = [];
        for await (const { header: one, contents } of tarMembers(stream())) {
          const pieces: Uint8Array[] = [];
          for await (const piece of contents()) pieces.push(piece);
          found.push([one.name, one.attributes.get('user.a') ?? null, Buffer.concat(pieces).toString('hex')]);
        }
        expect(found).toEqual(
          all.map(({ name: path, attribute, contents }) => [
            attribute === null ? path : `./${path}`,
            attribute,
            Buffer.from(contents).toString('hex'),
          ]),
        );
      }),
      { numRuns: 50 },
    );
  });

  it('end the stream where nobody asks for more', async () => {
    let isEnded = false;
    const stream = async function* () {
      try {
        yield header('a', '0', 0);
        yield header('b', '0', 0);
      } finally {
        isEnded = true;
      }
    };
    for await (const _ of tarMembers(stream())) break;
    expect(isEnded).toBe(true);
  });
});

describe('a header', () => {
  it('is found behind the padding of another member', () => {
    const bytes = Buffer.concat([Buffer.alloc(100), extended({ linkpath: 'to' }), header('a', '2', 0)]);
    expect(parseMemberHeader(bytes)).toMatchObject({ name: 'a', type: '2', linkName: 'to', mode: 0o640 });
  });

  it('is read whatever the bytes before it are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 3000 }), (bytes) => {
        const member = parseMemberHeader(Buffer.concat([extended({}), bytes, header('a', '0', 5)]));
        expect(member).toMatchObject({ name: expect.any(String), sizeBytes: expect.any(Number) });
      }),
    );
  });
});
