// Tokens of JSON (RFC 8259).
const blank = '[ \\t\\n\\r]*';
const string = String.raw`"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"`;
const number = String.raw`-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?`;
const token = new RegExp(String.raw`${blank}(?:([{}[\],:])|(${string})|(${number}|true|false|null)(?![\w.+-]))`, 'y');

/**
 * Where `text` stops being JSON (RFC 8259), as an index into it. For text that JSON.parse has refused: its own messages quote the
 * text, which may hold secrets, and do not always say where.
 */
export function jsonFaultOffset(text: string): number {
  const open: string[] = [];
  let expected: 'value' | 'value-or-end' | 'name' | 'name-or-end' | 'colon' | 'comma-or-end' = 'value';
  let offset = 0;
  for (;;) {
    token.lastIndex = offset;
    const found = token.exec(text);
    if (found === null) break;
    const [whole, sign, string, plain] = found;
    const isValue = string !== undefined || plain !== undefined;
    const isEnd = (sign === '}' && open.at(-1) === '{') || (sign === ']' && open.at(-1) === '[');
    const mayBeValue = expected === 'value' || expected === 'value-or-end';
    const mayEnd = expected.endsWith('or-end') && open.length > 0;
    if (mayBeValue && isValue) expected = 'comma-or-end';
    else if (mayBeValue && (sign === '{' || sign === '[')) {
      open.push(sign);
      expected = sign === '{' ? 'name-or-end' : 'value-or-end';
    } else if (mayEnd && isEnd) {
      open.pop();
      expected = 'comma-or-end';
    } else if (expected.startsWith('name') && string !== undefined) expected = 'colon';
    else if (expected === 'colon' && sign === ':') expected = 'value';
    else if (expected === 'comma-or-end' && sign === ',' && open.length > 0) {
      expected = open.at(-1) === '{' ? 'name' : 'value';
    } else break;
    offset += whole.length;
  }
  while (/[ \t\n\r]/.test(text[offset] ?? '')) offset += 1;
  return offset;
}
