// Finds what somebody meant to type.

const longestWord = 40;

/** The candidate that `word` is most likely a misspelling of, with at most `mistakes`; undefined when none is near. */
export function nearKey(
  word: string,
  candidates: readonly string[],
  mistakes = Math.ceil(plain(word).length / 4),
): string | undefined {
  const plainWord = plain(word);
  if (plainWord.length === 0 || plainWord.length > longestWord) return undefined;
  let best: string | undefined;
  let bestDistance = Math.min(mistakes, 3) + 1;
  for (const candidate of candidates) {
    const distance = editDistance(plainWord, plain(candidate));
    // Of two letters not both can be wrong.
    if (distance < bestDistance && distance < plainWord.length) [best, bestDistance] = [candidate, distance];
  }
  return best;
}

/** `allWifis`, `all-wifis` and `all_wifis` are the same mistake-free word. */
function plain(word: string): string {
  return word.toLowerCase().replace(/[-_\s]/g, '');
}

/** Insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const isSame = a[i - 1] === b[j - 1];
      const isSwap = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      row[j] = Math.min(
        (last[j] ?? 0) + 1,
        (row[j - 1] ?? 0) + 1,
        (last[j - 1] ?? 0) + (isSame ? 0 : 1),
        isSwap ? (beforeLast[j - 2] ?? 0) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length] ?? 0;
}
