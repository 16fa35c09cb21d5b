import { describe, expect, test } from 'vitest';
import { readYamlTree } from './yaml-tree.ts';

const read = (text: string) => readYamlTree(text, { aliases: true });

describe('aliases, where a format has them', () => {
  test('stand for their value, with the alias as its place', () => {
    const text = 'a: &one { b: [1, 2] }\nc: *one\n';
    const { value, place, faults } = read(text);
    expect(faults).toEqual([]);
    expect(JSON.stringify(value)).toBe('{"a":{"b":[1,2]},"c":{"b":[1,2]}}');
    expect(place.keys?.get('c')?.offset).toBe(text.indexOf('c:'));
  });

  test('merge: own keys win, then the first of a list', () => {
    const { value, faults } = read(
      'x: &x { a: 1, b: 1, c: 1 }\ny: &y { b: 2, d: 2 }\nz:\n  a: 0\n  <<: [*y, *x]\nq: { "<<": 1 }\n',
    );
    expect(faults).toEqual([]);
    expect((value as Record<string, unknown>).z).toEqual({ a: 0, b: 2, d: 2, c: 1 });
  });

  test.each<[string, string, string]>([
    ['unknown', 'a: *b', 'alias'],
    ['before its anchor', 'a: *b\nb: &b 1', 'alias'],
    ['of what contains it', 'a: &a [*a]', 'alias'],
    ['of a value that cannot merge', 'a: &a 1\nb: { <<: *a }', 'alias'],
  ])('refused: %s', (_name, text, code) => {
    expect(read(text).faults.map((fault) => fault.code)).toContain(code);
  });

  test('a billion laughs end early', () => {
    const lines = Array.from({ length: 12 }, (_, i) =>
      i === 0 ? 'a0: &a0 lol' : `a${i}: &a${i} [${`*a${i - 1},`.repeat(10)}]`,
    );
    const start = performance.now();
    expect(read(lines.join('\n')).faults.map((fault) => fault.code)).toEqual(['too-large']);
    expect(performance.now() - start).toBeLessThan(2000);
  });

  test('a long chain of aliases is no deep recursion', () => {
    const lines = Array.from({ length: 2000 }, (_, i) => (i === 0 ? 'a0: &a0 1' : `a${i}: &a${i} [*a${i - 1}]`));
    expect(read(lines.join('\n')).faults.map((fault) => fault.code)).toEqual(['too-large']);
  });

  test('a number keeps how it was written', () => {
    expect(read('a: 1.10').place.keys?.get('a')?.source).toBe('1.10');
  });
});
