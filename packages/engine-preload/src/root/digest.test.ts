import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chainIds, type Digest, digestOf, isDigest } from './digest.ts';

const digest = fc.uint8Array({ minLength: 1, maxLength: 8 }).map((bytes) => digestOf(bytes));

describe('chainIds', () => {
  it('gives what an engine has stored', () => {
    // Layers of an image that dockerd 20.10.24 built: diff ids and their directories in the layer store.
    const diffIds: Digest[] = [
      'sha256:b322242baecad4fd0741cf68e5bfd6db7f6f299011c221739e16148bef538c23',
      'sha256:d6851a083feca869d29ba7b35c1a75506add3fec7e568da269bc74114b9fa837',
      'sha256:30765e07e7c4a59ebc4b473d9da7c4751e2da837f5e19b4948f8b62ad478bdb2',
      'sha256:be5b1dd64ede5e0549b4b0fe463c8ed31e92a661125b7bffba40d5204f6107b0',
    ];
    expect(chainIds(diffIds)).toEqual([
      'sha256:b322242baecad4fd0741cf68e5bfd6db7f6f299011c221739e16148bef538c23',
      'sha256:4e59022e50be59ed54b3d8a4ec988b946b53e3c1bd48e4ff3961fd3fc40c3b5a',
      'sha256:8047df36b12276b15dfac3d7915419c18dffba7a9c01333343f8a115d0081103',
      'sha256:39868c9ce557535e15200ebe3979ba70a8d3ec41af433b68f8ba535992ad1ef9',
    ]);
  });

  it('hashes what lies below before what lies on it', () => {
    fc.assert(
      fc.property(fc.array(digest, { minLength: 2, maxLength: 8 }), (diffIds) => {
        const chain = chainIds(diffIds);
        expect(chain[0]).toBe(diffIds[0]);
        const last = createHash('sha256')
          .update(`${chain.at(-2)} ${diffIds.at(-1)}`)
          .digest('hex');
        expect(chain.at(-1)).toBe(`sha256:${last}`);
        expect(chainIds(diffIds.slice(0, -1))).toEqual(chain.slice(0, -1));
      }),
    );
  });
});

describe('isDigest', () => {
  it.each([
    'sha256:',
    `sha256:${'A'.repeat(64)}`,
    `sha512:${'a'.repeat(64)}`,
    `sha256:${'a'.repeat(64)}\n`,
    7,
    undefined,
  ])('refuses %j', (value) => expect(isDigest(value)).toBe(false));
});
