// Patterns that choose files by their paths. RE2 syntax, as the seed's: matched in linear time, so that no pattern can hang a device.
import { RE2JS } from 're2js';
import { messageOf } from '../error.ts';

export interface PathFilter {
  /** Whether the pattern is found anywhere in a path. */
  matches(path: string): boolean;
}

const longestPattern = 1000;

/** The filter, or what is wrong with the pattern, as a clause. */
export function compileFilter(pattern: string): PathFilter | { readonly fault: string } {
  if (pattern.length > longestPattern) return { fault: `it has more than ${longestPattern} characters` };
  try {
    const compiled = RE2JS.compile(pattern);
    return { matches: (path) => compiled.matcher(path).find() };
  } catch (thrown) {
    return { fault: messageOf(thrown) };
  }
}
