import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ByteReader, MigrateError, readerOf, type TreeEntry } from '@migrate/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeSmallExt4, smallExt4Options } from './ext4-fixture.ts';
import { openExt4 } from './ext4-reader.ts';

let work: string;
beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), 'ext4-fuzz-'));
});
afterAll(() => rmSync(work, { recursive: true }));

/** Reads all that a file system claims to have, a little of each file; the reader counts what that takes. */
async function explore(bytes: Uint8Array): Promise<number> {
  const inner = readerOf(bytes);
  let reads = 0;
  const reader: ByteReader = {
    ...inner,
    read: (target, position) => {
      reads += 1;
      return inner.read(target, position);
    },
  };
  const attempt = async (action: () => Promise<unknown>): Promise<void> => {
    try {
      await action();
    } catch (thrown) {
      if (!(thrown instanceof MigrateError)) throw thrown;
    }
  };
  await attempt(async () => {
    const volume = await openExt4(reader);
    const visit = async (entry: TreeEntry): Promise<void> => {
      await attempt(() => volume.extendedAttributes(entry));
      if (entry.kind === 'symlink') await attempt(() => volume.linkTarget(entry));
      if (entry.kind === 'file') {
        await attempt(() => volume.dataRanges(entry));
        const file = volume.open(entry);
        await attempt(() => file.read(Buffer.alloc(5000), 0));
        await attempt(() => file.read(Buffer.alloc(5000), Math.max(0, entry.sizeBytes - 4000)));
      }
      if (entry.kind === 'directory') {
        await attempt(async () => {
          for (const child of await volume.children(entry)) await visit(child);
        });
      }
    };
    await visit(volume.root);
    await attempt(() => volume.usedRanges());
  });
  return reads;
}

describe('any damage', () => {
  it.each([
    ['ext2', ['-t', 'ext2', '-O', 'none', '-I', '128', '-b', '1024', '-N', '80']],
    ['ext4 without checksums', smallExt4Options.unchecked],
    [
      'ext4 with inline data',
      ['-t', 'ext4', '-O', 'inline_data,^metadata_csum', '-b', '1024', '-N', '80', '-I', '256'],
    ],
    ['ext4 with checksums', smallExt4Options.checked],
  ])(
    'ends in a value or a MigrateError, after few reads: %s',
    async (name, options) => {
      const bytes = readFileSync(makeSmallExt4(join(work, name), options));
      // Zeros are mostly free space, and contents are of no interest.
      const offsets = [...bytes.keys()].filter((offset) => bytes[offset] !== 0 || bytes[offset ^ 1] !== 0);
      await fc.assert(
        fc.asyncProperty(
          fc.array(
            fc.tuple(fc.nat(offsets.length - 1), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 0x7f, 0x80, 0xff))),
            {
              minLength: 1,
              maxLength: 6,
            },
          ),
          async (changes) => {
            const undo = changes.map(([index]) => [offsets[index] ?? 0, bytes[offsets[index] ?? 0] ?? 0] as const);
            changes.forEach(([, value], index) => {
              bytes[undo[index]?.[0] ?? 0] = value;
            });
            const reads = await explore(bytes);
            for (const [offset, value] of undo.reverse()) bytes[offset] = value;
            expect(reads).toBeLessThan(200);
          },
        ),
        { numRuns: 1000 },
      );
    },
    60_000,
  );
});
