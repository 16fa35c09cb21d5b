import { describe, expect, it } from 'vitest';
import { createStage2Log } from './stage2-log.ts';

const progress = (done: number) => ({ kind: 'progress', text: 'flashing', done, total: 100, unit: 'bytes' }) as const;

describe('the log of stage 2', () => {
  const log = (level: 'warn' | 'info') => {
    const printed: string[] = [];
    return {
      printed,
      ...createStage2Log({
        level,
        print: (line) => printed.push(line),
        uptimeSeconds: () => 1,
        now: () => new Date(0),
      }),
    };
  };

  it('drops notes below its level, and progress within a tenth', () => {
    const { emit, bytes, printed } = log('warn');
    emit({ kind: 'note', level: 'info', text: 'quiet' });
    emit({ kind: 'note', level: 'error', text: 'loud' });
    for (const done of [1, 5, 9, 10, 11]) emit(progress(done));
    expect(new TextDecoder().decode(bytes())).toBe(
      '[    1.0] ! loud\n[    1.0]   flashing   1 % of 1 MiB\n[    1.0]   flashing  10 % of 1 MiB\n',
    );
    expect(printed).toHaveLength(3);
  });

  it('keeps the last MiB', () => {
    const { emit, bytes } = log('info');
    for (let index = 0; index < 3000; index += 1)
      emit({ kind: 'note', level: 'info', text: `${index} ${'x'.repeat(1000)}` });
    const text = new TextDecoder().decode(bytes());
    expect(text.length).toBeLessThanOrEqual(1024 * 1024);
    expect(text).toContain('2999 x');
    expect(text).not.toContain(' 0 x');
  });
});
