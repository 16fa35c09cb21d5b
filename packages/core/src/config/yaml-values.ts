// From nodes of a YAML document to plain data with places. Aliases are refused, or followed and counted.
import { isAlias, isMap, isScalar, isSeq, type ParsedNode, type YAMLMap } from 'yaml';
import { quoted } from './quoted.ts';
import { type YamlFault, yamlFault } from './yaml-syntax.ts';

const keyLengthLimit = 200;
/** Values that aliases may add to a file, and how deep aliases of aliases may nest. */
export const aliasValueLimit = 20_000;
const aliasDepthLimit = 16;

/** Where a value stands, and its parts. */
export interface Place {
  /** Start of its key, or of itself for an item of a list. */
  readonly offset: number;
  readonly keys?: ReadonlyMap<string, Place>;
  readonly items?: readonly Place[];
  /** A number as it is written, where its digits count: `1.10` is not 1.1 to a version. */
  readonly source?: string;
}

export interface BuiltValue {
  /** Objects have no prototype, so that a key like `__proto__` is only a key. */
  readonly value: unknown;
  readonly place: Place;
}

export interface BuildContext {
  readonly offset: number;
  readonly path: string;
  readonly faults: YamlFault[];
  /** What anchors stand for so far; undefined where the format has none. */
  readonly anchors?: Map<string, ParsedNode | null>;
  /** Set inside of what an alias stands for. */
  readonly expansion?: { readonly depth: number; readonly budget: { left: number } };
}

/** The value of a node of the document, and where its parts stand; what is wrong goes to `context.faults`. */
export function buildYamlValue(node: ParsedNode | null, context: BuildContext): BuiltValue {
  const { offset, path, faults, anchors, expansion } = context;
  if (expansion !== undefined && expansion.depth > 0) expansion.budget.left -= 1;
  if (isAlias(node)) {
    if (anchors !== undefined) return buildAlias(node.source, context);
    const hint = 'Write the value itself; text that begins with * needs quotes';
    faults.push({ ...yamlFault('alias', offset, `the alias ${quoted(`*${node.source}`)} is not allowed`, hint), path });
    return { value: undefined, place: { offset } };
  }
  if (node?.anchor !== undefined && anchors === undefined) {
    const hint = 'Remove it; text that begins with & needs quotes';
    faults.push({
      ...yamlFault('anchor', offset, `the anchor ${quoted(`&${node.anchor}`)} is not allowed`, hint),
      path,
    });
  }
  const built = buildValue(node, context);
  // Known only from here on, so that nothing can contain itself.
  if (node?.anchor !== undefined) anchors?.set(node.anchor, node);
  return built;
}

function buildValue(node: ParsedNode | null, context: BuildContext): BuiltValue {
  const { offset, path } = context;
  if (isMap(node)) return buildMap(node, context);
  if (isSeq(node)) {
    const items = node.items.map((item, index) =>
      buildYamlValue(item as ParsedNode, { ...context, offset: item.range[0], path: `${path}[${index}]` }),
    );
    return { value: items.map((item) => item.value), place: { offset, items: items.map((item) => item.place) } };
  }
  const value = isScalar(node) ? node.value : null;
  const source = isScalar(node) && typeof value === 'number' ? node.source : undefined;
  return { value, place: { offset, ...(source === undefined ? {} : { source }) } };
}

/** What the alias stands for, with the alias as its place. */
function buildAlias(name: string, context: BuildContext): BuiltValue {
  const { offset, path, faults, anchors, expansion } = context;
  const target = anchors?.get(name);
  const { depth = 0, budget = { left: 0 } } = expansion ?? {};
  const refused = (code: string, message: string, hint: string): BuiltValue => {
    // One such fault is enough to see what the file is.
    if (!faults.some((earlier) => earlier.code === code)) {
      faults.push({ ...yamlFault(code, offset, message, hint), path });
    }
    return { value: undefined, place: { offset } };
  };
  if (target === undefined) {
    const hint = `Write &${name} before the value, above this line`;
    return refused('alias', `nothing before it is called ${quoted(`&${name}`)}`, hint);
  }
  if (depth >= aliasDepthLimit || budget.left <= 0) {
    return refused('too-large', 'the aliases stand for far more than a file of this kind holds', 'Use fewer aliases');
  }
  const { value, place } = buildValue(target, { ...context, expansion: { depth: depth + 1, budget } });
  return { value, place: { ...place, offset } };
}

function buildMap(node: YAMLMap.Parsed, context: BuildContext): BuiltValue {
  const { offset, path, faults, anchors } = context;
  const value: Record<string, unknown> = Object.create(null);
  const keys = new Map<string, Place>();
  const merged: BuiltValue[] = [];
  for (const pair of node.items) {
    const keyOffset = pair.key?.range[0] ?? offset;
    const key = isScalar(pair.key) ? String(pair.key.value) : undefined;
    if (key === undefined || key.length > keyLengthLimit || pair.key?.anchor !== undefined) {
      faults.push({
        ...yamlFault('key', keyOffset, 'this name of a setting is not a plain word', 'Write "name: value"'),
        path,
      });
      continue;
    }
    const keyPath = joinPath(path, key);
    if (keys.has(key)) {
      const hint = 'Remove one of the two, or merge them';
      faults.push({ ...yamlFault('duplicate-key', keyOffset, `${quoted(key)} is given twice`, hint), path: keyPath });
      continue;
    }
    const built = buildYamlValue(pair.value, { ...context, offset: keyOffset, path: keyPath });
    if (key === '<<' && isScalar(pair.key) && pair.key.type === 'PLAIN' && anchors !== undefined) {
      merged.push(built);
      continue;
    }
    value[key] = built.value;
    keys.set(key, built.place);
  }
  for (const part of merged.flatMap(partsOf)) mergeInto({ value, keys }, part, context);
  return { value, place: { offset, keys } };
}

/** `<<` takes one mapping or a list of them, the first of which wins. */
function partsOf({ value, place }: BuiltValue): BuiltValue[] {
  if (!Array.isArray(value)) return [{ value, place }];
  return value.map((part: unknown, index) => ({ value: part, place: place.items?.[index] ?? place }));
}

function mergeInto(
  into: { readonly value: Record<string, unknown>; readonly keys: Map<string, Place> },
  { value, place }: BuiltValue,
  { path, faults }: BuildContext,
): void {
  // An alias that could not be followed has its fault already.
  if (value === undefined) return;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    const message = '"<<" takes a section, or a list of sections';
    faults.push({ ...yamlFault('alias', place.offset, message, 'Write "<<: *name" of a section'), path });
    return;
  }
  for (const [key, part] of Object.entries(value)) {
    if (into.keys.has(key)) continue;
    into.value[key] = part;
    into.keys.set(key, { ...place.keys?.get(key), offset: place.offset });
  }
}

/** `migrate` and `mode` make `migrate.mode`; odd keys come in quotes. */
export function joinPath(path: string, key: string): string {
  const shown = /^[\w-]{1,40}$/.test(key) ? key : quoted(key);
  return path === '' ? shown : `${path}.${shown}`;
}
