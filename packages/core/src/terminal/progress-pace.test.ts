import { describe, expect, it } from 'vitest';
import { progressPace } from './progress-pace.ts';

const mebibyte = 1024 * 1024;
const progress = (doneMib: number, totalMib = 1000, text = 'flashing') =>
  ({ kind: 'progress', text, done: doneMib * mebibyte, total: totalMib * mebibyte, unit: 'bytes' }) as const;

function pace() {
  let nowMs = 0;
  const paceOf = progressPace(() => nowMs);
  return (seconds: number, event: Parameters<typeof paceOf>[0]): string => {
    nowMs = seconds * 1000;
    return paceOf(event);
  };
}

describe('progressPace', () => {
  it('tells rate and time left after the first second', () => {
    const at = pace();
    expect(at(0, progress(0))).toBe('');
    expect(at(0.9, progress(36))).toBe('');
    expect(at(2, progress(80))).toBe(', 40 MiB/s, 23 s left');
    expect(at(25, progress(1000))).toBe(', 40 MiB/s');
  });

  it('follows a disk that slows down', () => {
    const at = pace();
    for (let second = 0; second <= 5; second += 1) at(second, progress(second * 100));
    for (let second = 6; second <= 20; second += 1) at(second, progress(500 + second - 5));
    expect(at(21, progress(516))).toBe(', 1.0 MiB/s, 9 min left');
  });

  it('starts anew with other work, and says nothing of files or where nothing moves', () => {
    const at = pace();
    at(0, progress(0));
    expect(at(5, progress(500))).toContain('100 MiB/s');
    expect(at(6, progress(100, 1000, 'verifying'))).toBe('');
    expect(at(8, progress(300, 1000, 'verifying'))).toContain('100 MiB/s');
    expect(at(9, progress(10, 1000, 'verifying'))).toBe('');
    expect(at(12, progress(10, 1000, 'verifying'))).toBe('');
    expect(at(14, { ...progress(20, 1000, 'verifying'), unit: 'files' })).toBe('');
    expect(at(20, progress(21, 100_000, 'verifying'))).toMatch(/ h left$/);
  });

  it('is not upset by very frequent events', () => {
    const at = pace();
    for (let step = 0; step <= 40_000; step += 1) at(step / 1000, progress(step / 50));
    expect(at(40.001, progress(800.02))).toBe(', 20 MiB/s, 10 s left');
  });
});
