/** Quotes a word for GRUB's shell-like language: single quotes keep everything but a single quote itself. */
export function quoteForGrub(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
