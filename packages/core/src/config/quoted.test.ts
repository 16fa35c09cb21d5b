import { expect, test } from 'vitest';
import { quoted } from './quoted.ts';

test.each([
  ['plain', '"plain"'],
  ['a"b\\', '"a\\"b\\\\"'],
  ['\u001b[31m\u0007\n', '"\\u001b[31m\\u0007\\n"'],
  ['\u009b\u202e\u2028\u007f', '"\\u009b\\u202e\\u2028\\u007f"'],
  ['ä😀', '"ä😀"'],
])('%j', (text, shown) => {
  expect(quoted(text)).toBe(shown);
});

test('long text is cut', () => {
  expect(quoted('x'.repeat(41))).toBe(`"${'x'.repeat(40)}…"`);
  expect(quoted('x'.repeat(40))).toBe(`"${'x'.repeat(40)}"`);
  expect(quoted('x'.repeat(1_000_000)).length).toBeLessThan(50);
});
