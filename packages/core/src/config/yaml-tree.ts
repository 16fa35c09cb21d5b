// Reads untrusted YAML into plain data, and keeps where each value stands. Aliases are off and size and depth are bounded, so that
// a small file cannot become a large one.
import {
  Composer,
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  type ParsedNode,
  Parser,
  type YAMLMap,
} from 'yaml';
import { quoted } from './quoted.ts';
import { syntaxFaults, type YamlFault } from './yaml-syntax.ts';

/** A larger file is not a configuration. */
const sizeLimitBytes = 256 * 1024;
/** The deepest setting lies seven levels down. */
const depthLimit = 32;
/** The longest sample has under a thousand words, blanks and signs; each of them can cost the parser dearly. */
const tokenLimit = 20_000;
const keyLengthLimit = 200;

/** Where a value stands, and its parts. */
export interface Place {
  /** Start of its key, or of itself for an item of a list. */
  readonly offset: number;
  readonly keys?: ReadonlyMap<string, Place>;
  readonly items?: readonly Place[];
}

export interface YamlTree {
  /** Objects have no prototype, so that a key like `__proto__` is only a key. Undefined when the text could not be read. */
  readonly value: unknown;
  readonly place: Place;
  readonly faults: readonly YamlFault[];
}

type Built = Pick<YamlTree, 'value' | 'place'>;

interface Context {
  readonly offset: number;
  readonly path: string;
  readonly faults: YamlFault[];
}

/** Never throws; all that is wrong is in `faults`. */
export function readYamlTree(text: string): YamlTree {
  const faults: YamlFault[] = [];
  const document = compose(text, faults);
  if (document === undefined) return { value: undefined, place: { offset: 0 }, faults };
  return { ...build(document.contents, { offset: 0, path: '', faults }), faults };
}

/** The only document of the text, or undefined and faults. */
function compose(text: string, faults: YamlFault[]): Document.Parsed | undefined {
  const broken = text.search(/[\ufffd\0]/);
  if (Buffer.byteLength(text) > sizeLimitBytes) {
    const message = `the file has more than ${sizeLimitBytes / 1024} KiB`;
    faults.push(fault('too-large', 0, message, 'Check that this is the configuration and not another file'));
    return undefined;
  }
  if (broken !== -1) {
    faults.push(fault('encoding', broken, 'the file is not UTF-8 text', 'Save it as UTF-8'));
    return undefined;
  }
  const tokens: Parameters<Composer['next']>[0][] = [];
  const parser = new Parser();
  let count = 0;
  for (const lexeme of new Lexer().lex(text)) {
    count += 1;
    if (count > tokenLimit) {
      const hint = 'Check that this is the configuration and not another file';
      faults.push(fault('too-large', parser.offset, 'the file has far more settings than there are', hint));
      return undefined;
    }
    for (const token of parser.next(lexeme)) tokens.push(token);
    // The composer calls itself for each level; the parser does not.
    if (parser.stack.length > depthLimit) {
      faults.push(
        fault(
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
    faults.push(fault('documents', second.range[0], 'a second YAML document begins here', hint));
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

function build(node: ParsedNode | null, context: Context): Built {
  const { offset, path, faults } = context;
  if (isAlias(node)) {
    const hint = 'Write the value itself; text that begins with * needs quotes';
    faults.push({ ...fault('alias', offset, `the alias ${quoted(`*${node.source}`)} is not allowed`, hint), path });
    return { value: undefined, place: { offset } };
  }
  if (node?.anchor !== undefined) {
    const hint = 'Remove it; text that begins with & needs quotes';
    faults.push({ ...fault('anchor', offset, `the anchor ${quoted(`&${node.anchor}`)} is not allowed`, hint), path });
  }
  if (isMap(node)) return buildMap(node, context);
  if (isSeq(node)) {
    const items = node.items.map((item, index) =>
      build(item as ParsedNode, { offset: item.range[0], path: `${path}[${index}]`, faults }),
    );
    return { value: items.map((item) => item.value), place: { offset, items: items.map((item) => item.place) } };
  }
  return { value: isScalar(node) ? node.value : null, place: { offset } };
}

function buildMap(node: YAMLMap.Parsed, { offset, path, faults }: Context): Built {
  const value: Record<string, unknown> = Object.create(null);
  const keys = new Map<string, Place>();
  for (const pair of node.items) {
    const keyOffset = pair.key?.range[0] ?? offset;
    const key = isScalar(pair.key) ? String(pair.key.value) : undefined;
    if (key === undefined || key.length > keyLengthLimit || pair.key?.anchor !== undefined) {
      faults.push({
        ...fault('key', keyOffset, 'this name of a setting is not a plain word', 'Write "name: value"'),
        path,
      });
      continue;
    }
    const keyPath = joinPath(path, key);
    if (keys.has(key)) {
      const hint = 'Remove one of the two, or merge them';
      faults.push({ ...fault('duplicate-key', keyOffset, `${quoted(key)} is given twice`, hint), path: keyPath });
      continue;
    }
    const built = build(pair.value, { offset: keyOffset, path: keyPath, faults });
    value[key] = built.value;
    keys.set(key, built.place);
  }
  return { value, place: { offset, keys } };
}

/** `migrate` and `mode` make `migrate.mode`; odd keys come in quotes. */
export function joinPath(path: string, key: string): string {
  const shown = /^[\w-]{1,40}$/.test(key) ? key : quoted(key);
  return path === '' ? shown : `${path}.${shown}`;
}

function fault(code: string, offset: number, message: string, hint: string): YamlFault {
  return { code, offset, path: '', message, hint };
}
