// Reads untrusted YAML into plain data, and keeps where each value stands. Aliases are refused, or counted where a format lives
// from them; size and depth are bounded, so that a small file cannot become a large one.
import { Composer, type Document, Lexer, Parser } from 'yaml';
import { syntaxFaults, type YamlFault, yamlFault } from './yaml-syntax.ts';
import { aliasValueLimit, type BuiltValue, buildYamlValue } from './yaml-values.ts';

/** A larger file is not a configuration. */
const sizeLimitBytes = 256 * 1024;
/** The deepest setting lies seven levels down. */
const depthLimit = 32;
/** The longest sample has under a thousand words, blanks and signs; each of them can cost the parser dearly. */
const tokenLimit = 20_000;

/** `value` is undefined when the text could not be read. */
export interface YamlTree extends BuiltValue {
  readonly faults: readonly YamlFault[];
}

/** `aliases: true` follows aliases and `<<` (https://yaml.org/type/merge.html). Never throws; all that is wrong is in `faults`. */
export function readYamlTree(text: string, { aliases = false }: { aliases?: boolean } = {}): YamlTree {
  const faults: YamlFault[] = [];
  const document = compose(text, faults);
  if (document === undefined) return { value: undefined, place: { offset: 0 }, faults };
  const anchors = aliases ? { anchors: new Map(), expansion: { depth: 0, budget: { left: aliasValueLimit } } } : {};
  return { ...buildYamlValue(document.contents, { offset: 0, path: '', faults, ...anchors }), faults };
}

/** The only document of the text, or undefined and faults. */
function compose(text: string, faults: YamlFault[]): Document.Parsed | undefined {
  const broken = text.search(/[\ufffd\0]/);
  if (Buffer.byteLength(text) > sizeLimitBytes) {
    const message = `the file has more than ${sizeLimitBytes / 1024} KiB`;
    faults.push(yamlFault('too-large', 0, message, 'Check that this is the configuration and not another file'));
    return undefined;
  }
  if (broken !== -1) {
    faults.push(yamlFault('encoding', broken, 'the file is not UTF-8 text', 'Save it as UTF-8'));
    return undefined;
  }
  const tokens: Parameters<Composer['next']>[0][] = [];
  const parser = new Parser();
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    count += 1;
    if (count > tokenLimit) {
      const hint = 'Check that this is the configuration and not another file';
      faults.push(yamlFault('too-large', parser.offset, 'the file has far more settings than there are', hint));
      return undefined;
    }
    for (const token of parser.next(lexeme)) tokens.push(token);
    // The composer calls itself for each level; the parser does not.
    if (parser.stack.length > depthLimit) {
      faults.push(
        yamlFault(
          'too-deep',
          parser.offset,
          'the sections are nested too deeply',
          'Check the indentation and the brackets',
        ),
      );
      return undefined;
    }
  }
  for (const token of parser.end()) tokens.push(token);
  return onlyDocument(tokens, text, faults);
}

function onlyDocument(
  tokens: Parameters<Composer['compose']>[0],
  text: string,
  faults: YamlFault[],
): Document.Parsed | undefined {
  // Keys are compared below: the library compares each with every other.
  const composer = new Composer({ version: '1.2', schema: 'core', uniqueKeys: false, prettyErrors: false });
  const [first, second] = take(composer.compose(tokens, true, text.length), 2);
  if (second !== undefined) {
    const hint = 'Remove the line "---" between the two';
    faults.push(yamlFault('documents', second.range[0], 'a second YAML document begins here', hint));
  }
  if (first !== undefined) faults.push(...syntaxFaults(first, text));
  return faults.length === 0 ? first : undefined;
}

function take<T>(values: Iterable<T>, count: number): T[] {
  const taken: T[] = [];
  for (const value of values) {
    taken.push(value);
    if (taken.length === count) break;
  }
  return taken;
}
