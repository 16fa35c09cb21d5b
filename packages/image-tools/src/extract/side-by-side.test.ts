import { setTimeout as wait } from 'node:timers/promises';
import { throwIfCancelled } from '@migrate/core';
import { expect, it } from 'vitest';
import { sideBySide } from './side-by-side.ts';

it('does everything, never more at once than it may, in order', async () => {
  const started: number[] = [];
  let running = 0;
  let most = 0;
  await sideBySide([5, 1, 3, 1, 1], 2, undefined, async (milliseconds) => {
    started.push(milliseconds);
    running += 1;
    most = Math.max(most, running);
    await wait(milliseconds);
    running -= 1;
  });
  expect({ started, most, running }).toEqual({ started: [5, 1, 3, 1, 1], most: 2, running: 0 });
});

it('cancels the others at the first failure, starts no more, and throws that one when all have ended', async () => {
  const ended: string[] = [];
  const doing = sideBySide(['fails', 'waits', 'never'], 2, undefined, async (item, signal) => {
    if (item === 'fails') throw new Error('the first');
    while (!signal.aborted) await wait(1);
    ended.push(item);
    throwIfCancelled(signal);
  });
  await expect(doing).rejects.toThrow('the first');
  expect(ended).toEqual(['waits']);
});

it('is cancelled from outside', async () => {
  const abort = new AbortController();
  const doing = sideBySide([1, 2], 2, abort.signal, async (_, signal) => {
    while (!signal.aborted) await wait(1);
    throwIfCancelled(signal);
  });
  abort.abort();
  await expect(doing).rejects.toMatchObject({ code: 'cancelled' });
});
