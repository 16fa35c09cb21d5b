import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { askToGoOn } from './ask.ts';

describe('the question whether to go on', () => {
  let printed = '';

  beforeEach(() => {
    printed = '';
    vi.spyOn(process.stderr, 'write').mockImplementation((text) => {
      printed += String(text);
      return true;
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
  });

  /** Asks on a standard input that gives the text and then ends. */
  async function ask(input: string, isTTY: boolean): Promise<boolean> {
    const stream = Object.assign(new PassThrough(), { isTTY });
    vi.spyOn(process, 'stdin', 'get').mockReturnValue(stream as unknown as typeof process.stdin);
    stream.end(input);
    return askToGoOn('migrate', 'The disk will be overwritten.');
  }

  it.each([
    ['yes\n', true],
    [' yes \nno\n', true],
    ['y\n', false],
    ['YES\n', false],
    ['\n', false],
    ['', false],
  ])('takes %j on a terminal for %s', async (input, expected) => {
    expect(await ask(input, true)).toBe(expected);
    expect(printed).toContain('The disk will be overwritten. Type "yes" to go on: ');
  });

  it('takes no terminal for a no, and says so', async () => {
    expect(await ask('yes\n', false)).toBe(false);
    expect(printed).toBe('migrate: there is no terminal to ask on; use --yes to go on without a question\n');
  });
});
