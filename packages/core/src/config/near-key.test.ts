import { expect, test } from 'vitest';
import { nearKey } from './near-key.ts';

test.each([
  ['mdoe', 'mode'],
  ['Mode', 'mode'],
  ['moed', 'mode'],
  ['modes', 'mode'],
  ['workdir', 'work_dir'],
  ['workDirectory', undefined],
  ['dd', 'dd'],
  ['fd', 'dd'],
  ['xy', undefined],
  ['', undefined],
  ['___', undefined],
  ['m'.repeat(10_000), undefined],
])('%s', (word, meant) => {
  expect(nearKey(word, ['mode', 'work_dir', 'dd', 'delay'])).toBe(meant);
});

test('the nearest wins, and no more mistakes than allowed', () => {
  expect(nearKey('kernel_opt', ['kernel', 'kernel_opts'])).toBe('kernel_opts');
  expect(nearKey('wfiis', ['wifis'], 1)).toBe('wifis');
  expect(nearKey('wfisi', ['wifis'], 1)).toBeUndefined();
});
