// A Host whose changes are counted, so that one of them can fail or be the last.
import type { Host } from '@migrate/core';

const changes: ReadonlySet<string> = new Set<keyof Host>([
  'makeDirectory',
  'writeDurable',
  'copyDurable',
  'overwriteInPlace',
  'setAttributes',
  'removeFile',
  'removeDirectory',
  'createExclusive',
  'writeNew',
  'makeSymlink',
  'rename',
  'run',
]);

/** Programs that change nothing. */
const questions: ReadonlySet<string> = new Set(['du', 'flock']);

/** `host`, with `before` called ahead of each change: its number from 0, and what it is. What it throws is the change's failure. */
export function interferingHost(host: Host, before: (index: number, change: string) => void): Host {
  let count = 0;
  return new Proxy(host, {
    get: (target, name: string) => {
      const method: unknown = Reflect.get(target, name);
      if (!changes.has(name) || typeof method !== 'function') return method;
      return async (...args: unknown[]) => {
        if (name === 'run' && questions.has(String(args[0]))) return Reflect.apply(method, target, args) as unknown;
        const index = count;
        count += 1;
        before(index, `${name} ${args.filter((arg) => typeof arg === 'string' || Array.isArray(arg)).join(' ')}`);
        return Reflect.apply(method, target, args) as unknown;
      };
    },
  });
}
