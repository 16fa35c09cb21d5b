import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
const rows = readFileSync(join(root, 'docs/guarantees.md'), 'utf8')
  .split('\n')
  .filter((line) => /^\|.*\.ts\s+\|/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()))
  .map(([, promise = '', file = '', test = '']) => ({ promise, file, test }));

describe('docs/guarantees.md', () => {
  it('makes promises', () => expect(rows.length).toBeGreaterThan(15));

  it.each(rows)('$promise', ({ file, test }) => {
    expect(readFileSync(join(root, file), 'utf8')).toContain(test);
  });
});
