import { describe, expect, it } from 'vitest';
import { renderFindings, renderJson, renderLines } from './render.ts';

function output(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, write: (text: string) => written.push(text), text: () => written.join('') };
}

const progress = (done: number) => ({ kind: 'progress', text: 'flashing', done, total: 100, unit: 'bytes' }) as const;

describe('renderLines', () => {
  it('prints progress once a second without a terminal, and always its end', () => {
    const plain = output(false);
    let now = 0;
    const emit = renderLines(plain, () => now);
    for (const [milliseconds, done] of [
      [0, 1],
      [500, 10],
      [1000, 20],
      [1001, 100],
    ] as const) {
      now = milliseconds;
      emit(progress(done));
    }
    expect(
      plain
        .text()
        .split('\n')
        .map((line) => line.slice(11, 16)),
    ).toEqual(['  1 %', ' 20 %', '100 %', '']);
  });

  it('moves one line on a terminal and leaves it before the next', () => {
    const terminal = output(true);
    const emit = renderLines(terminal, () => 0);
    emit(progress(1));
    emit({ kind: 'step-done', step: 's', milliseconds: 1500 });
    expect(terminal.text()).toBe('\r\x1b[K  flashing   1 % of 1 MiB\r\x1b[K  done in 1.5 s\n');
  });
});

describe('renderJson', () => {
  it('prints an object a line', () => {
    const plain = output(false);
    renderJson(plain)({ kind: 'step-undone', step: 'a' });
    expect(plain.text()).toBe('{"kind":"step-undone","step":"a"}\n');
  });
});

describe('renderFindings', () => {
  it('puts what refuses before what warns', () => {
    const finding = { code: 'c', where: 'w', message: 'm', hint: 'h' };
    expect(
      renderFindings([
        { ...finding, severity: 'warning' },
        { ...finding, severity: 'error' },
      ]),
    ).toBe('error: w: m [c]\n       h\nwarning: w: m [c]\n       h\n');
  });
});
