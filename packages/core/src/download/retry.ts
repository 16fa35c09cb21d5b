// When to ask a server again.
import { setTimeout as wait } from 'node:timers/promises';
import { MigrateError, throwIfCancelled } from '../error.ts';

const longestBackoffMs = 60_000;
/** A server that asks for more is asked again then anyway: nobody watches a program that waits for hours. */
const longestRequestedMs = 600_000;

/** Statuses that pass: time-outs, too many requests, and failures of the server (RFC 9110, section 15; RFC 6585, section 4). */
export function isPassing(status: number): boolean {
  return status === 408 || status === 425 || status === 429 || status >= 500;
}

/**
 * Milliseconds to wait before the next attempt, after `failures` (1 and more) in a row: doubling from `firstMs`, or what the server's
 * Retry-After says (seconds or a date, RFC 9110, section 10.2.3) where that is longer.
 */
export function retryDelayMs(
  failures: number,
  { retryAfter, nowMs, firstMs = 1000 }: { retryAfter?: string | undefined; nowMs: number; firstMs?: number },
): number {
  const backoffMs = Math.min(longestBackoffMs, firstMs * 2 ** Math.min(failures - 1, 20));
  if (retryAfter === undefined) return backoffMs;
  const requestedMs = /^\d{1,9}$/.test(retryAfter.trim()) ? Number(retryAfter) * 1000 : Date.parse(retryAfter) - nowMs;
  return Number.isFinite(requestedMs) ? Math.max(backoffMs, Math.min(longestRequestedMs, requestedMs)) : backoffMs;
}

/** Waits; throws `cancelled` at once when the signal is given. */
export async function pause(milliseconds: number, signal?: AbortSignal): Promise<void> {
  throwIfCancelled(signal);
  try {
    await wait(milliseconds, undefined, signal === undefined ? {} : { signal });
  } catch {
    throw new MigrateError('cancelled', 'cancelled');
  }
}

/** Errors of a connection that may be gone the next time; a certificate that is not trusted stays so. */
export function isPassingError(thrown: unknown): thrown is MigrateError {
  if (!(thrown instanceof MigrateError)) return false;
  if (thrown.code === 'timeout') return true;
  const { errno } = thrown.data;
  return thrown.code === 'read-failed' && typeof errno === 'string' && !/CERT|SIGNATURE|ALTNAME|SSL_WRONG/.test(errno);
}
