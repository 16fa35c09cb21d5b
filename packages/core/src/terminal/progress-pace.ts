import type { Event } from '../execute/event.ts';

type Progress = Extract<Event, { kind: 'progress' }>;

/** The rate is that of the last seconds, so that it follows a disk which slows down. */
const windowMs = 10_000;
const sampleMs = 250;

/**
 * Gives the text of rate and time left for successive events of progress, ", 38 MiB/s, 12 s left". Empty in the first second of
 * a piece of work, and for what is not counted in bytes. `now` in milliseconds.
 */
export function progressPace(now: () => number): (event: Progress) => string {
  let current = '';
  let samples: { readonly atMs: number; readonly done: number }[] = [];
  return ({ text, done, total, unit }) => {
    const atMs = now();
    const last = samples.at(-1);
    if (text !== current || last === undefined || done < last.done) {
      current = text;
      samples = [{ atMs, done }];
      return '';
    }
    while (samples.length > 1 && atMs - (samples[1]?.atMs ?? atMs) >= windowMs) samples.shift();
    const [first = last] = samples;
    if (atMs - last.atMs >= sampleMs) samples.push({ atMs, done });
    const milliseconds = atMs - first.atMs;
    const bytes = done - first.done;
    if (unit !== 'bytes' || milliseconds < 1000 || bytes <= 0) return '';
    const bytesPerSecond = (bytes / milliseconds) * 1000;
    const rate = `, ${rateText(bytesPerSecond / 1024 / 1024)} MiB/s`;
    return done >= total ? rate : `${rate}, ${timeText((total - done) / bytesPerSecond)} left`;
  };
}

function rateText(mebibytes: number): string {
  return mebibytes < 10 ? mebibytes.toFixed(1) : mebibytes.toFixed(0);
}

function timeText(seconds: number): string {
  const whole = Math.ceil(seconds);
  if (whole < 100) return `${whole} s`;
  return whole < 6000 ? `${Math.ceil(whole / 60)} min` : `${(whole / 3600).toFixed(1)} h`;
}
