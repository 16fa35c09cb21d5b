import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

interface TestedDocument {
  readonly path: string;
  /** With fewer rows than these its tables were not found. */
  readonly leastRows: number;
  /** Whether a row may say in words why it has no test. */
  readonly mayLackTests: boolean;
}

const documents: readonly TestedDocument[] = [
  { path: 'docs/guarantees.md', leastRows: 140, mayLackTests: false },
  { path: 'docs/comparison.md', leastRows: 100, mayLackTests: true },
];
const root = join(import.meta.dirname, '../..');
const reason = /^not (there|tested): \S+ \S+ \S+/;

/** The rows of a document's tables whose last two columns are `file` and `test`. */
function testedRows(path: string): readonly (readonly string[])[] {
  const text = readFileSync(join(root, path), 'utf8');
  const tables = text.match(/(^\|.*\|\n)+/gm) ?? [];
  return tables.flatMap((table) => {
    const [heading = [], , ...rows] = table.trimEnd().split('\n').map(cellsOf);
    return heading.slice(-2).join() === 'file,test' ? rows : [];
  });
}

const cellsOf = (line: string): readonly string[] =>
  line
    .split('|')
    .slice(1, -1)
    .map((cell) => cell.trim());

describe.each(documents)('$path', ({ path, leastRows, mayLackTests }) => {
  const rows = testedRows(path).map((cells) => {
    const [file = '', test = ''] = cells.slice(-2);
    return { name: cells[0] ?? '', cells, file, test };
  });

  it('has tables of tests', () => expect(rows.length).toBeGreaterThan(leastRows));

  it.each(rows)('$name', ({ cells, file, test }) => {
    expect(cells).not.toContain('');
    if (mayLackTests && file === '–') {
      expect(test).toMatch(reason);
    } else {
      expect(file).toMatch(/\.ts$/);
      expect(readFileSync(join(root, file), 'utf8')).toContain(test);
    }
  });
});
