import type { RootVerification } from '@migrate/engine-preload';
import { expect, it } from 'vitest';
import { verificationTable } from './verify-command.ts';

it('shows a row an image and a line a fault', () => {
  const id = (character: string) => `sha256:${character.repeat(64)}` as const;
  const result: RootVerification = {
    isRight: false,
    images: [
      { id: id('a'), references: ['app:1', 'app:2'], layers: 3, sizeBytes: 1_572_864, isRight: true },
      { id: id('b'), references: [], layers: 12, sizeBytes: 0, isRight: false },
    ],
    layers: [
      {
        layer: { chainId: id('c'), diffId: id('d'), cacheId: 'e', link: 'L', sizeBytes: 0 },
        usedBy: [],
        faults: ['bent'],
      },
    ],
    damaged: [{ id: id('f'), references: ['old:1'], fault: 'a layer is missing' }],
  };
  expect(verificationTable(result)).toBe(
    [
      'IMAGE         LAYERS  MIB  STATE    NAMES',
      'aaaaaaaaaaaa  3       1.5  right    app:1, app:2',
      'bbbbbbbbbbbb  12      0.0  WRONG',
      'ffffffffffff  ?       ?    DAMAGED  old:1',
      'ffffffffffff: a layer is missing',
      'layer cccccccccccc: bent',
      '',
    ].join('\n'),
  );
});
