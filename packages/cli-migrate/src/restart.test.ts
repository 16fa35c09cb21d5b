import { createMemoryHost, exitCodes, MigrateError } from '@migrate/core';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { restart } from './restart.ts';

afterEach(() => vi.restoreAllMocks());

describe('restart', () => {
  it('ends with success, and leaves the report as it was', async () => {
    const keep = vi.fn();
    expect(await restart(createMemoryHost(), keep)).toBe(exitCodes.done);
    expect(keep).not.toHaveBeenCalled();
  });

  it('that fails leaves a prepared machine, and says so with an exit code of its own', async () => {
    const written = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    const kept: unknown[] = [];
    const reboot = async (): Promise<void> => {
      throw new MigrateError('command-failed', 'restart: shutdown ended with status 5');
    };
    const code = await restart({ ...createMemoryHost(), reboot }, async (...said) => void kept.push(said));
    // Not that of "refused", which says that nothing was changed.
    expect(code).toBe(exitCodes.notUndone);
    const message =
      'the machine is prepared, but could not be restarted (restart: shutdown ended with status 5): restart it to migrate, or run "migrate undo"';
    expect(written).toHaveBeenCalledWith(`migrate: ${message}\n`);
    expect(kept).toEqual([[code, message]]);
  });
});
