import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseGrubEnvironment, setGrubVariable } from './grub-environment.ts';

/** What grub-editenv of GRUB 2.06 writes for "create": the signature, padded to 1024 bytes. */
const empty = '# GRUB Environment Block\n'.padEnd(1024, '#');
const path = '/boot/grub/grubenv';
const name = fc.stringMatching(/^[a-z_]{1,12}$/);
const value = fc.stringMatching(/^[ -~]{0,30}$/).map((text) => `${text}\n\\`.slice(0, 30));

describe('the environment block', () => {
  it('keeps its size and every other variable', () => {
    const block = setGrubVariable(setGrubVariable(empty, 'saved_entry', { value: '0', path }), 'next_entry', {
      value: 'x',
      path,
    });
    expect(block).toHaveLength(1024);
    expect(Object.fromEntries(parseGrubEnvironment(block, path))).toEqual({ saved_entry: '0', next_entry: 'x' });
    expect(
      setGrubVariable(setGrubVariable(block, 'next_entry', { value: undefined, path }), 'saved_entry', {
        value: undefined,
        path,
      }),
    ).toBe(empty);
  });

  it('gives back any value that was set, beside any others', () => {
    fc.assert(
      fc.property(fc.dictionary(name, value, { maxKeys: 5 }), (variables) => {
        let block = empty;
        for (const [key, text] of Object.entries(variables)) block = setGrubVariable(block, key, { value: text, path });
        expect(Object.fromEntries(parseGrubEnvironment(block, path))).toEqual({ ...variables });
      }),
    );
  });

  it('refuses a value that does not fit instead of growing', () => {
    expect(() => setGrubVariable(empty, 'next_entry', { value: 'x'.repeat(1024), path })).toThrow(/no room/);
  });

  it('refuses a file that is no environment block, with the cure', () => {
    expect(() => parseGrubEnvironment('next_entry=1\n', path)).toThrow('grub-editenv /boot/grub/grubenv create');
  });
});
