import { expect, test } from 'vitest';
import { MigrateError } from '../error.ts';
import { isPassing, isPassingError, pause, retryDelayMs } from './retry.ts';

const nowMs = Date.parse('2026-01-01T00:00:00Z');

test.each([
  [1, undefined, 1000],
  [4, undefined, 8000],
  [60, undefined, 60_000],
  [1, '30', 30_000],
  [6, '1', 32_000],
  [1, '86400', 600_000],
  [1, 'Thu, 01 Jan 2026 00:00:20 GMT', 20_000],
  [1, 'Wed, 31 Dec 2025 00:00:00 GMT', 1000],
  [1, 'soon', 1000],
])('after %i failures and Retry-After %s: %i ms', (failures, retryAfter, expected) => {
  expect(retryDelayMs(failures, { retryAfter, nowMs })).toBe(expected);
});

test('tells what passes from what stays', () => {
  expect([200, 404, 401, 416].some(isPassing)).toBe(false);
  expect([408, 429, 500, 503].every(isPassing)).toBe(true);
  const failed = (errno: string) => new MigrateError('read-failed', 'x', { data: { errno } });
  expect(isPassingError(failed('ECONNRESET'))).toBe(true);
  expect(isPassingError(failed('SELF_SIGNED_CERT_IN_CHAIN'))).toBe(false);
  expect(isPassingError(failed('ERR_TLS_CERT_ALTNAME_INVALID'))).toBe(false);
  expect(isPassingError(new MigrateError('read-failed', 'a disk'))).toBe(false);
  expect(isPassingError(new Error('a bug'))).toBe(false);
});

test('a pause ends at once when it is cancelled', async () => {
  const controller = new AbortController();
  const waiting = pause(60_000, controller.signal);
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ code: 'cancelled' });
  await expect(pause(0, controller.signal)).rejects.toMatchObject({ code: 'cancelled' });
});
