import { describe, expect, it } from 'vitest';
import { sameConnectionNames, textAsIs } from './boot-files.ts';
import { parseConfigJson } from './config-json.ts';

describe('textAsIs', () => {
  it('keeps a byte order mark, which the new system would stumble over', () => {
    const text = textAsIs(Buffer.from('\ufeff{}'));
    expect(text).toBe('\ufeff{}');
    expect(parseConfigJson(text, 'config.json').findings).toMatchObject([{ code: 'config-json-encoding' }]);
  });
});

describe('sameConnectionNames', () => {
  it('finds names that differ in case alone', () => {
    const connections = ['Office', 'office', 'other'].map((name) => ({ name }));
    expect(sameConnectionNames(connections, 'here')).toMatchObject([{ code: 'connection-name', where: 'here' }]);
    expect(sameConnectionNames(connections.slice(1), 'here')).toEqual([]);
  });
});
