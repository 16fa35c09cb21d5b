import { crc32 } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { scriptImage } from './script-image.ts';

describe('an image of a script', () => {
  const text = 'echo hello\n';
  const bytes = Buffer.from(scriptImage(text, 'a name'));

  // As mkimage -A arm -O linux -T script -C none -n 'a name' writes it, but for the time.
  it('has a header with both sums', () => {
    expect(bytes.length).toBe(64 + 8 + text.length);
    const header = Buffer.from(bytes.subarray(0, 64));
    const data = bytes.subarray(64);
    expect(header.toString('hex', 0, 4)).toBe('27051956');
    expect(header.readUInt32BE(12)).toBe(data.length);
    expect(header.readUInt32BE(24)).toBe(crc32(data));
    expect([...header.subarray(28, 32)]).toEqual([5, 2, 6, 0]);
    expect(header.toString('latin1', 32).replace(/\0+$/, '')).toBe('a name');
    const sum = header.readUInt32BE(4);
    header.writeUInt32BE(0, 4);
    expect(sum).toBe(crc32(header));
  });

  it('has one script behind a table of its length', () => {
    expect([bytes.readUInt32BE(64), bytes.readUInt32BE(68)]).toEqual([text.length, 0]);
    expect(bytes.toString('latin1', 72)).toBe(text);
  });
});
