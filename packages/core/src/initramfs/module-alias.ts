// Aliases of kernel modules: shell patterns such as "pci:v00008086d*sv*" that are matched against what a device says of itself.

/** Patterns with the modules they stand for, indexed so that one look-up tries few of the some 20,000. */
export interface AliasTable {
  readonly exact: ReadonlyMap<string, readonly string[]>;
  /** By bus ("pci:", "usb:"); under "" those whose bus is not literal. */
  readonly byBus: ReadonlyMap<string, readonly AliasRow[]>;
}

interface AliasRow {
  readonly pattern: string;
  /** What the pattern starts with before its first wildcard: most look-ups end there. */
  readonly literal: string;
  readonly module: string;
}

/** Longer than any bus makes them; what is longer stands for no device. */
const patternLimit = 4096;

/** Builds the table from pairs of pattern and module name. */
export function makeAliasTable(pairs: Iterable<readonly [pattern: string, module: string]>): AliasTable {
  const exact = new Map<string, string[]>();
  const byBus = new Map<string, AliasRow[]>();
  for (const [written, module] of pairs) {
    if (written.length > patternLimit) continue;
    const pattern = normalizeAlias(written);
    const literal = /^[^*?[\\]*/.exec(pattern)?.[0] ?? '';
    if (literal === pattern) {
      listIn(exact, pattern).push(module);
    } else {
      listIn(byBus, busOf(literal)).push({ pattern, literal, module });
    }
  }
  return { exact, byBus };
}

/** Modules of all patterns that match, in the order of the table and each once. */
export function modulesForAlias(table: AliasTable, written: string): readonly string[] {
  if (written.length > patternLimit) return [];
  const alias = normalizeAlias(written);
  const found = new Set(table.exact.get(alias));
  for (const bus of new Set([busOf(alias), ''])) {
    for (const { pattern, literal, module } of table.byBus.get(bus) ?? []) {
      if (alias.startsWith(literal) && matchesPattern(pattern, alias)) found.add(module);
    }
  }
  return [...found];
}

/** '-' and '_' are the same to modprobe, except inside brackets where '-' is a range (kmod, alias_normalize). */
function normalizeAlias(alias: string): string {
  return alias.replace(/\[[^\]]*\]|-/g, (part) => (part === '-' ? '_' : part));
}

function busOf(text: string): string {
  return text.slice(0, text.indexOf(':') + 1);
}

function listIn<T>(map: Map<string, T[]>, key: string): T[] {
  const known = map.get(key);
  if (known !== undefined) return known;
  const list: T[] = [];
  map.set(key, list);
  return list;
}

/**
 * Whether a pattern of fnmatch(3) without flags matches the whole text. Takes at most pattern length times text length
 * steps, whatever the pattern.
 */
export function matchesPattern(pattern: string, text: string): boolean {
  let [p, t] = [0, 0];
  // Where to go on when what follows the last '*' does not fit here: one character further.
  let [afterStar, starText] = [-1, 0];
  while (t < text.length) {
    if (pattern[p] === '*') {
      p += 1;
      [afterStar, starText] = [p, t];
      continue;
    }
    const length = matchOne(pattern, p, text[t] ?? '');
    if (length > 0) {
      p += length;
      t += 1;
    } else if (afterStar >= 0) {
      starText += 1;
      [p, t] = [afterStar, starText];
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}

/** Length of the pattern element at `index` where it matches the character, otherwise 0. */
function matchOne(pattern: string, index: number, character: string): number {
  const element = pattern[index];
  if (element === '?') return 1;
  if (element === '\\' && index + 1 < pattern.length) return pattern[index + 1] === character ? 2 : 0;
  if (element === '[') {
    const end = pattern.indexOf(']', index + (/[!^]/.test(pattern[index + 1] ?? '') ? 3 : 2));
    if (end > 0) return inBrackets(pattern.slice(index + 1, end), character) ? end + 1 - index : 0;
  }
  return element === character ? 1 : 0;
}

function inBrackets(set: string, character: string): boolean {
  const isNegated = /^[!^]/.test(set);
  const members = isNegated ? set.slice(1) : set;
  for (let i = 0; i < members.length; i += 1) {
    const from = members[i] ?? '';
    const isRange = members[i + 1] === '-' && i + 2 < members.length;
    const to = isRange ? (members[i + 2] ?? '') : from;
    if (character >= from && character <= to) return !isNegated;
    if (isRange) i += 2;
  }
  return isNegated;
}
