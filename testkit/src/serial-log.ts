// What a machine's serial console printed, and waiting for it.
import type { WaitOptions } from './machine.ts';

export interface SerialLog {
  /** Adds what came from the console. */
  append(text: string): void;
  /** Says that the machine is off: nothing more will come. */
  end(): void;
  /** All that was printed. */
  text(): string;
  onText(listener: (text: string) => void): void;
  /** Waits for text after the last match; rejects with the end of the log when time or machine ends. */
  waitFor(pattern: RegExp, options?: WaitOptions): Promise<RegExpExecArray>;
}

/** An empty log; `explain` adds to the message of a wait that failed, as the emulator's own errors. */
export function serialLog(explain: () => string = () => ''): SerialLog {
  let text = '';
  let position = 0;
  let isOff = false;
  const listeners = new Set<(text: string) => void>();
  const checks = new Set<() => void>();
  return {
    append: (added) => {
      text += added;
      for (const listener of listeners) listener(added);
      for (const check of [...checks]) check();
    },
    end: () => {
      isOff = true;
      for (const check of [...checks]) check();
    },
    text: () => text,
    onText: (listener) => {
      listeners.add(listener);
    },
    waitFor: (pattern, { timeoutMs = 240_000, unless } = {}) =>
      new Promise<RegExpExecArray>((resolve, reject) => {
        const finish = (settle: () => void): void => {
          clearTimeout(timer);
          checks.delete(check);
          settle();
        };
        const fail = (why: string): void => {
          const tail = text.split('\n').slice(-40).join('\n');
          finish(() =>
            reject(new Error(`${why} waiting for ${pattern}; the console ended with\n${tail}\n${explain()}`)),
          );
        };
        const check = (): void => {
          const match = pattern.exec(text.slice(position));
          if (match !== null) {
            position += match.index + match[0].length;
            finish(() => resolve(match));
          } else if (unless?.test(text.slice(position)) === true) fail(`${unless} came`);
          else if (isOff) fail('the machine went off');
        };
        const timer = setTimeout(() => fail(`${timeoutMs} ms passed`), timeoutMs);
        checks.add(check);
        check();
      }),
  };
}
