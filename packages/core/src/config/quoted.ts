/** Foreign text for a message: in quotes, cut at `longest` characters, and with nothing in it that a terminal acts on. */
export function quoted(text: string, longest = 40): string {
  const characters = [...text.slice(0, longest + 1)];
  const cut = characters.length > longest || text.length > longest + 1 ? `${text.slice(0, longest)}…` : text;
  // Beyond the C0 controls that JSON escapes: DEL and C1, line separators, and the marks that turn the direction of writing.
  return JSON.stringify(cut).replace(
    /[\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
