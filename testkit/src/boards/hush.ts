// The part of U-Boot's shell that environments of boards are written in (common/cli_hush.c): lists, if, for, quotes, variables.
// Written from the behaviour of the real one, and on purpose without the code that makes our scripts.

type Part = { readonly kind: 'text' | 'variable'; readonly text: string; readonly isQuoted: boolean };
type Word = readonly Part[];
type Token = { readonly kind: 'word'; readonly word: Word } | { readonly kind: ';' | '&&' | '||' };

type Node =
  | { readonly kind: 'command'; readonly words: readonly Word[] }
  | { readonly kind: 'if'; readonly condition: List; readonly then: List; readonly otherwise: List }
  | { readonly kind: 'for'; readonly name: string; readonly words: readonly Word[]; readonly body: List };
type List = readonly { readonly node: Node; readonly joint: ';' | '&&' | '||' }[];

export interface Shell {
  variable(name: string): string | undefined;
  setVariable(name: string, value: string): void;
  /** Exit status of a command; words are expanded already. */
  command(words: readonly string[]): number;
}

class SyntaxFault extends Error {}

/** Tests run the same scripts thousands of times. */
const parsed = new Map<string, List | undefined>();

/** Runs a script and gives its exit status: 1 for one that is not sound. Throws for what is not modelled. */
export function runHush(script: string, shell: Shell): number {
  const list = parsed.has(script) ? parsed.get(script) : parse(script);
  parsed.set(script, list);
  return list === undefined ? 1 : runList(list, shell);
}

function parse(script: string): List | undefined {
  try {
    return parseList({ tokens: tokenize(script), at: 0 }, []);
  } catch (thrown) {
    if (thrown instanceof SyntaxFault) return undefined;
    throw thrown;
  }
}

function tokenize(script: string): readonly Token[] {
  const tokens: Token[] = [];
  let word: Part[] | undefined;
  const flush = (): void => {
    if (word !== undefined) tokens.push({ kind: 'word', word });
    word = undefined;
  };
  const add = (part: Part): void => {
    word = [...(word ?? []), part];
  };
  let quote: '"' | "'" | undefined;
  for (let at = 0; at < script.length; at += 1) {
    const character = script[at] ?? '';
    const isQuoted = quote !== undefined;
    if (character === '$' && quote !== "'") {
      const name = /^\{(\w+)\}|^(\w+)/.exec(script.slice(at + 1));
      if (name === null) throw new SyntaxFault(`a lone $ in: ${script}`);
      add({ kind: 'variable', text: name[1] ?? name[2] ?? '', isQuoted });
      at += name[0].length;
    } else if (character === quote) {
      quote = undefined;
    } else if (quote === undefined && (character === '"' || character === "'")) {
      quote = character;
      add({ kind: 'text', text: '', isQuoted: true });
    } else if (quote === undefined && /\s/.test(character)) {
      flush();
      if (character === '\n') tokens.push({ kind: ';' });
    } else if (quote === undefined && character === ';') {
      flush();
      tokens.push({ kind: ';' });
    } else if (quote === undefined && /^(&&|\|\|)/.test(script.slice(at))) {
      flush();
      tokens.push({ kind: character === '&' ? '&&' : '||' });
      at += 1;
    } else if (quote === undefined && /[&|<>()\\]/.test(character)) {
      throw new Error(`${character} is not modelled, in: ${script}`);
    } else {
      add({ kind: 'text', text: character, isQuoted });
    }
  }
  if (quote !== undefined) throw new SyntaxFault(`a quote is not closed in: ${script}`);
  flush();
  return tokens;
}

interface Parser {
  readonly tokens: readonly Token[];
  at: number;
}

const keywords = new Set(['if', 'then', 'else', 'fi', 'for', 'in', 'do', 'done']);

function keywordAt({ tokens, at }: Parser): string | undefined {
  const token = tokens[at];
  if (token?.kind !== 'word' || token.word.some(({ kind, isQuoted }) => kind === 'variable' || isQuoted))
    return undefined;
  const text = token.word.map((part) => part.text).join('');
  return keywords.has(text) ? text : undefined;
}

function expect(parser: Parser, keyword: string): void {
  while (parser.tokens[parser.at]?.kind === ';') parser.at += 1;
  if (keywordAt(parser) !== keyword) throw new SyntaxFault(`${keyword} is missing`);
  parser.at += 1;
}

function parseList(parser: Parser, ends: readonly string[]): List {
  const list: { node: Node; joint: ';' | '&&' | '||' }[] = [];
  let joint: ';' | '&&' | '||' = ';';
  for (;;) {
    const token = parser.tokens[parser.at];
    if (token === undefined) return list;
    if (token.kind !== 'word') {
      joint = token.kind;
      parser.at += 1;
      continue;
    }
    if (ends.includes(keywordAt(parser) ?? '')) return list;
    list.push({ node: parseNode(parser), joint });
    joint = ';';
  }
}

function parseNode(parser: Parser): Node {
  const keyword = keywordAt(parser);
  if (keyword === 'if') {
    parser.at += 1;
    const condition = parseList(parser, ['then']);
    expect(parser, 'then');
    const then = parseList(parser, ['else', 'fi']);
    const hasElse = keywordAt(parser) === 'else';
    if (hasElse) parser.at += 1;
    const otherwise = hasElse ? parseList(parser, ['fi']) : [];
    expect(parser, 'fi');
    return { kind: 'if', condition, then, otherwise };
  }
  if (keyword === 'for') {
    parser.at += 1;
    const [name = []] = parseWords(parser, 1);
    expect(parser, 'in');
    const words = parseWords(parser, Number.POSITIVE_INFINITY);
    expect(parser, 'do');
    const body = parseList(parser, ['done']);
    expect(parser, 'done');
    return { kind: 'for', name: name.map((part) => part.text).join(''), words, body };
  }
  if (keyword !== undefined) throw new SyntaxFault(`${keyword} stands where a command is expected`);
  return { kind: 'command', words: parseWords(parser, Number.POSITIVE_INFINITY) };
}

function parseWords(parser: Parser, limit: number): readonly Word[] {
  const words: Word[] = [];
  for (;;) {
    const token = parser.tokens[parser.at];
    if (token?.kind !== 'word' || words.length === limit) return words;
    words.push(token.word);
    parser.at += 1;
  }
}

function runList(list: List, shell: Shell): number {
  let status = 0;
  let isSkipping = false;
  for (const { node, joint } of list) {
    if (joint === ';') isSkipping = false;
    else if (!isSkipping) isSkipping = joint === '&&' ? status !== 0 : status === 0;
    if (!isSkipping) status = runNode(node, shell);
  }
  return status;
}

function runNode(node: Node, shell: Shell): number {
  if (node.kind === 'command') return shell.command(node.words.flatMap((word) => expand(word, shell)));
  if (node.kind === 'if') return runList(runList(node.condition, shell) === 0 ? node.then : node.otherwise, shell);
  let status = 0;
  for (const value of node.words.flatMap((word) => expand(word, shell))) {
    shell.setVariable(node.name, value);
    status = runList(node.body, shell);
  }
  return status;
}

/** Without quotes a variable is split at blanks, and an empty one is no word at all. */
function expand(word: Word, shell: Shell): readonly string[] {
  let words: string[] = [];
  let isOpen = false;
  const append = (text: string): void => {
    words = isOpen ? [...words.slice(0, -1), `${words.at(-1) ?? ''}${text}`] : [...words, text];
    isOpen = true;
  };
  for (const { kind, text, isQuoted } of word) {
    const value = kind === 'text' ? text : (shell.variable(text) ?? '');
    if (kind === 'text' || isQuoted) {
      append(value);
      continue;
    }
    const pieces = value.split(/\s+/);
    pieces.forEach((piece, index) => {
      if (index > 0) isOpen = false;
      if (piece !== '') append(piece);
    });
  }
  return words;
}
