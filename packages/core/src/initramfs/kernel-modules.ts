// Which files a set of kernel modules consists of, and in what order they must be inserted: what modprobe does, without
// running it, because in stage 2 there is none. Formats: depmod(8), modules.dep(5), modprobe.d(5).
import { MigrateError } from '../error.ts';
import { type AliasTable, makeAliasTable, modulesForAlias } from './module-alias.ts';

/** Texts of the files in /lib/modules/RELEASE. */
export interface ModuleIndexTexts {
  readonly release: string;
  /** modules.dep */
  readonly dep: string;
  /** modules.alias */
  readonly alias: string;
  /** modules.softdep */
  readonly softdep: string;
  /** modules.builtin */
  readonly builtin: string;
  /** modules.builtin.modinfo, which exists since Linux 5.2: "module.key=value", each ended by NUL. */
  readonly builtinModinfo?: string;
}

export interface ModuleFile {
  /** Name with underscores, as lsmod shows it. */
  readonly name: string;
  /** Relative to /lib/modules/RELEASE: "kernel/fs/ext4/ext4.ko.xz". */
  readonly path: string;
}

interface SoftDependencies {
  readonly before: readonly string[];
  readonly after: readonly string[];
}

export interface ModuleIndex {
  readonly release: string;
  readonly files: ReadonlyMap<string, ModuleFile & { readonly needs: readonly string[] }>;
  readonly aliases: AliasTable;
  readonly softDependencies: ReadonlyMap<string, SoftDependencies>;
  readonly builtin: ReadonlySet<string>;
  readonly builtinAliases: AliasTable;
}

export interface ModuleClosure {
  /** In load order: each after all it needs. */
  readonly modules: readonly ModuleFile[];
  /** What was wanted by name, or is needed by a module, and is neither a file nor built into the kernel. */
  readonly missing: readonly string[];
}

/** Deeper chains of dependencies than any kernel has would only exhaust the stack. */
const depthLimit = 500;

/** Reads the index once; look-ups are then fast. Lines of no known form are passed over, as modprobe does. */
export function parseModuleIndex(texts: ModuleIndexTexts): ModuleIndex {
  const files = new Map<string, ModuleFile & { needs: readonly string[] }>();
  for (const line of texts.dep.split('\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const path = relativePath(line.slice(0, colon), texts.release);
    const name = moduleName(path);
    // "a.ko.ko" would be a module that nothing can ask for.
    if (moduleName(name) !== name) continue;
    files.set(name, { name, path, needs: words(line.slice(colon + 1)).map(moduleName) });
  }
  const softDependencies = new Map<string, SoftDependencies>();
  for (const line of texts.softdep.split('\n')) {
    const [keyword, module, ...rest] = words(line);
    if (keyword !== 'softdep' || module === undefined) continue;
    const name = moduleName(module);
    // A module may have several lines; all of them count.
    softDependencies.set(name, parseSoftdep(rest, softDependencies.get(name)));
  }
  return {
    release: texts.release,
    files,
    aliases: makeAliasTable(parseAliases(texts.alias)),
    softDependencies,
    builtin: new Set(words(texts.builtin).map(moduleName)),
    builtinAliases: makeAliasTable(parseBuiltinAliases(texts.builtinModinfo ?? '')),
  };
}

/**
 * All modules for the wanted names and modaliases with what they need, hard and soft. A name may also be an alias
 * ("crypto-crc32c"); where several modules match an alias, all of them count. A modalias (it has a colon) that matches
 * nothing is not missing: most devices on the way to a disk need no driver.
 */
export function moduleClosure(index: ModuleIndex, wanted: readonly string[]): ModuleClosure {
  const visited = new Set<string>();
  const modules: ModuleFile[] = [];
  const missing = new Set<string>();
  const add = (name: string, depth: number): void => {
    if (visited.has(name) || index.builtin.has(name)) return;
    visited.add(name);
    if (depth > depthLimit) {
      throw new MigrateError(
        'invalid-input',
        `/lib/modules/${index.release}/modules.dep: the dependencies of ${name} go on without end; run depmod`,
      );
    }
    const file = index.files.get(name);
    if (file === undefined) {
      missing.add(name);
      return;
    }
    const soft = index.softDependencies.get(name);
    for (const needed of file.needs) add(needed, depth + 1);
    for (const softly of soft?.before ?? []) for (const found of resolve(index, softly).modules) add(found, depth + 1);
    modules.push({ name: file.name, path: file.path });
    for (const softly of soft?.after ?? []) for (const found of resolve(index, softly).modules) add(found, depth + 1);
  };
  for (const text of wanted) {
    const { modules: found, isKnown } = resolve(index, text);
    for (const name of found) add(name, 0);
    if (!isKnown && !text.includes(':')) missing.add(text);
  }
  return { modules, missing: [...missing] };
}

/** Module files for a name or alias, in modprobe's order: a module of that name, a built-in one, an alias. */
function resolve(index: ModuleIndex, text: string): { modules: readonly string[]; isKnown: boolean } {
  const name = moduleName(text);
  if (index.files.has(name)) return { modules: [name], isKnown: true };
  if (index.builtin.has(name)) return { modules: [], isKnown: true };
  const matching = modulesForAlias(index.aliases, text);
  const modules = matching.filter((module) => index.files.has(module));
  const isBuiltin =
    matching.some((module) => index.builtin.has(module)) || modulesForAlias(index.builtinAliases, text).length > 0;
  return { modules, isKnown: modules.length > 0 || isBuiltin };
}

/** "kernel/fs/nls/nls_iso8859-1.ko.xz" → "nls_iso8859_1". */
function moduleName(pathOrName: string): string {
  return pathOrName
    .slice(pathOrName.lastIndexOf('/') + 1)
    .replace(/\.ko(\.(gz|xz|zst))?$/, '')
    .replaceAll('-', '_');
}

/** depmod of module-init-tools wrote absolute paths. */
function relativePath(path: string, release: string): string {
  const directory = `/lib/modules/${release}/`;
  return path.startsWith(directory) ? path.slice(directory.length) : path;
}

function parseSoftdep(rest: readonly string[], known: SoftDependencies | undefined): SoftDependencies {
  const before = [...(known?.before ?? [])];
  const after = [...(known?.after ?? [])];
  let list: string[] | undefined;
  for (const word of rest) {
    if (word === 'pre:') list = before;
    else if (word === 'post:') list = after;
    else list?.push(word);
  }
  return { before, after };
}

function* parseAliases(text: string): Generator<[string, string]> {
  for (const line of text.split('\n')) {
    const [keyword, pattern, module] = line.split(' ');
    if (keyword === 'alias' && pattern !== undefined && module !== undefined)
      yield [pattern, moduleName(module.trim())];
  }
}

function* parseBuiltinAliases(text: string): Generator<[string, string]> {
  for (const record of text.split('\0')) {
    const match = /^([^.=]+)\.alias=(.+)$/.exec(record.trim());
    if (match?.[1] !== undefined && match[2] !== undefined) yield [match[2], moduleName(match[1])];
  }
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
