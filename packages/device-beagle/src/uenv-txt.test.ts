import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { evaluateUenv, parseUenvTxt, printUenvTxt } from './uenv-txt.ts';

const parse = (text: string) => parseUenvTxt(Buffer.from(text, 'latin1'));
const values = (text: string) => Object.fromEntries(evaluateUenv(parse(text)));
/** Bytes that mean something to it more often than others. */
const lively = fc
  .array(fc.oneof(fc.constantFrom('#', '=', '\\', '\n', '\r', '\0', ' ', 'a', 'uenvcmd='), fc.string({ maxLength: 3 })))
  .map((parts) => Buffer.from(parts.join(''), 'latin1'));

describe('uEnv.txt', () => {
  it('prints to what was read, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.oneof(lively, fc.uint8Array()), (bytes) => {
        expect(Buffer.from(printUenvTxt(parseUenvTxt(bytes))).equals(Buffer.from(bytes))).toBe(true);
      }),
    );
  });

  it('keeps comments and takes the last value of a name', () => {
    expect(values('# a=1\n  #b=2\na=3\n\na=4 \nname with blanks=x\n')).toEqual({ a: '4 ', 'name with blanks': 'x' });
    expect(parse('#c\n \na=1').map(({ meaning }) => meaning.kind)).toEqual(['comment', 'blank', 'variable']);
  });

  it('deletes by a name without a value', () => {
    expect(values('a=1\nb=2\na=\nb\n')).toEqual({ a: undefined, b: undefined });
  });

  it('takes a backslash for what follows it, also for the end of a line', () => {
    expect(values('a=one\\\ntwo\\\\\nb=\\$x\n')).toEqual({ a: 'one\ntwo\\', b: '$x' });
  });

  it('reads nothing behind a value without a name, or a zero byte', () => {
    expect(values('a=1\n=2\nb=3\n')).toEqual({ a: '1' });
    expect(values('a=1\n\0b=3\n')).toEqual({ a: '1' });
    expect(values('a=1\nb\0=3\n')).toEqual({ a: '1' });
  });
});
