import { describe, expect, it } from 'vitest';
import { onceReleased, type Patience } from './held-files.ts';

/** Fails some times as a file does that somebody holds. */
function heldFor(failures: number, code: string) {
  let tries = 0;
  const act = async (): Promise<string> => {
    tries += 1;
    if (tries <= failures) throw Object.assign(new Error(code), { code, syscall: 'rename' });
    return 'renamed';
  };
  return { act, tries: () => tries };
}

const windows: Patience = { platform: 'win32', limitMs: 5, pauseMs: 1 };

describe('onceReleased', () => {
  it.each(['EPERM', 'EACCES', 'EBUSY'])('goes on when a file of Windows is no longer held (%s)', async (code) => {
    const { act, tries } = heldFor(3, code);
    expect(await onceReleased(act, windows)).toBe('renamed');
    expect(tries()).toBe(4);
  });

  it('gives up on a file that stays held', async () => {
    const { act, tries } = heldFor(1000, 'EBUSY');
    await expect(onceReleased(act, windows)).rejects.toMatchObject({ code: 'EBUSY' });
    expect(tries()).toBe(6);
  });

  it.each<[string, string, Partial<Patience>]>([
    ['another failure', 'ENOENT', windows],
    ['Linux', 'EPERM', { ...windows, platform: 'linux' }],
  ])('does not wait for %s', async (_, code, patience) => {
    const { act, tries } = heldFor(1, code);
    await expect(onceReleased(act, patience)).rejects.toMatchObject({ code });
    expect(tries()).toBe(1);
  });
});
