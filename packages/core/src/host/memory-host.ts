// The one fake Host: a machine that is a map in memory. Every method that changes it passes through `onChange`, where a test
// makes it fail or counts it.
import { MigrateError } from '../error.ts';
import type { CommandResult, FileAttributes, FileStatus, GrowingFile, Host, StreamOptions } from './host.ts';
import { memoryTreeAt } from './memory-living-tree.ts';

export type MemoryNode =
  | { readonly kind: 'directory'; mode: number }
  | { readonly kind: 'file'; contents: Uint8Array; mode: number; uid: number; gid: number; modifiedMs: number }
  | { readonly kind: 'symlink'; readonly target: string };

export interface MemoryHostOptions {
  /** Contents by absolute path; parents are made. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  readonly links?: Readonly<Record<string, string>>;
  readonly availableBytes?: number;
  readonly userId?: number;
  readonly machine?: string;
  /** Called before each change with a short name of it; what it throws is the failure of that change. */
  readonly onChange?: (change: string) => void;
  readonly run?: (command: string, args: readonly string[]) => Promise<CommandResult>;
  readonly runStream?: (command: string, args: readonly string[], options: StreamOptions) => AsyncGenerator<Uint8Array>;
}

export interface MemoryHost extends Host {
  readonly nodes: ReadonlyMap<string, MemoryNode>;
  /** Everything in it as comparable text: path, kind, attributes, contents. */
  snapshot(): readonly string[];
}

const device = { major: 8, minor: 1 };

/** A machine in memory. */
export function createMemoryHost(options: MemoryHostOptions = {}): MemoryHost {
  const nodes = new Map<string, MemoryNode>([['/', { kind: 'directory', mode: 0o755 }]]);
  const changed = (change: string): void => options.onChange?.(change);
  const file = (path: string) => {
    const node = nodes.get(resolved(path));
    if (node?.kind !== 'file') throw new MigrateError('read-failed', `${path} is not a file`);
    return node;
  };
  const resolved = (path: string): string => resolvePath(nodes, path);
  const put = (path: string, contents: Uint8Array, attributes: FileAttributes): void => {
    if (nodes.get(parentOf(resolved(path)))?.kind !== 'directory')
      throw new MigrateError('write-failed', `${parentOf(path)} is no directory`);
    const { mode, uid = 0, gid = 0, modifiedMs = 1 } = attributes;
    nodes.set(resolved(path), { kind: 'file', contents: contents.slice(), mode, uid, gid, modifiedMs });
  };
  populate(nodes, options);
  return {
    nodes,
    snapshot: () => [...nodes].map(([path, node]) => describeNode(path, node)).sort(),
    userId: options.userId ?? 0,
    machine: options.machine ?? 'x86_64',
    now: () => new Date(0),
    readFile: async (path) => file(path).contents.slice(),
    readText: async (path) =>
      nodes.get(resolved(path))?.kind === 'file' ? new TextDecoder().decode(file(path).contents) : undefined,
    list: async (path) => childrenOf(nodes, resolved(path)),
    status: async (path) => statusOf(nodes.get(resolved(path))),
    linkStatus: async (path) => statusOf(nodes.get(path)),
    readLink: async (path) => {
      const node = nodes.get(path);
      return node?.kind === 'symlink' ? node.target : undefined;
    },
    realPath: async (path) => (nodes.has(resolved(path)) ? resolved(path) : undefined),
    freeSpace: async () => ({ availableBytes: options.availableBytes ?? 2 ** 40, availableInodes: 1000 }),
    openRead: async (path) => bytesOf(file(path), () => {}),
    openTree: async (path) => memoryTreeAt(nodes, path),
    openWrite: async (path) => bytesOf(file(path), changed),
    openDisk: async (path) => bytesOf(file(path), changed),
    makeDirectory: async (path, mode) => {
      changed(`make-directory ${path}`);
      if (nodes.has(path)) throw new MigrateError('write-failed', `${path} exists`);
      nodes.set(path, { kind: 'directory', mode });
    },
    writeDurable: async (path, contents, attributes) => {
      changed(`write ${path}`);
      put(path, contents, attributes);
    },
    copyDurable: async (from, to, attributes) => {
      changed(`copy ${to}`);
      put(to, file(from).contents, attributes);
    },
    overwriteInPlace: async (path, contents) => {
      changed(`overwrite ${path}`);
      file(path).contents = contents.slice();
      file(path).modifiedMs = 2;
    },
    writeVariableFile: async (path, contents) => {
      changed(`write ${path}`);
      put(path, contents, { mode: 0o644 });
    },
    setAttributes: async (path, attributes) => {
      changed(`attributes ${path}`);
      Object.assign(file(path), attributes);
    },
    removeFile: async (path) => {
      changed(`remove ${path}`);
      nodes.delete(path);
    },
    removeVariableFile: async (path) => {
      changed(`remove ${path}`);
      nodes.delete(path);
    },
    removeDirectory: async (path) => {
      changed(`remove ${path}`);
      if (childrenOf(nodes, path).length > 0) throw new MigrateError('write-failed', `${path} is not empty`);
      nodes.delete(path);
    },
    createExclusive: async (path, contents, mode) => {
      changed(`create ${path}`);
      if (nodes.has(path)) throw new MigrateError('locked', `${path} exists`);
      put(path, contents, { mode });
    },
    writeNew: async (path, contents, attributes) => {
      changed(`create ${path}`);
      if (nodes.has(path)) throw new MigrateError('write-failed', `${path} exists`);
      put(path, contents, attributes);
    },
    makeSymlink: async (target, path) => {
      changed(`link ${path}`);
      if (nodes.has(path)) throw new MigrateError('write-failed', `${path} exists`);
      nodes.set(path, { kind: 'symlink', target });
    },
    rename: async (from, to) => {
      changed(`rename ${to}`);
      for (const [path, node] of [...nodes]) {
        if (path !== from && !path.startsWith(`${from}/`)) continue;
        nodes.delete(path);
        nodes.set(`${to}${path.slice(from.length)}`, node);
      }
    },
    createFile: async (path, attributes) => {
      changed(`create ${path}`);
      const node = { contents: new Uint8Array() };
      return Object.assign(bytesOf(node, changed), {
        commit: async () => {
          changed(`commit ${path}`);
          put(path, node.contents, attributes);
        },
      });
    },
    unzstd: (input) => {
      if (options.runStream === undefined) throw new MigrateError('not-found', 'zstd is not installed');
      return options.runStream('zstd', ['-dc'], { input });
    },
    createScratchFile: async () => bytesOf({ contents: new Uint8Array() }, changed),
    runStream: (command, args, streamOptions = {}) => {
      changed(`run ${command}`);
      if (options.runStream === undefined) throw new MigrateError('not-found', `${command} is not installed`);
      return options.runStream(command, args, streamOptions);
    },
    run: async (command, args) => {
      changed(`run ${command}`);
      return options.run === undefined ? { stdout: '', stderr: '' } : options.run(command, args);
    },
    mount: async ({ target }) => changed(`mount ${target}`),
    unmount: async (target) => changed(`unmount ${target}`),
    dropCaches: async () => {},
    reboot: async () => changed('reboot'),
  };
}

function populate(nodes: Map<string, MemoryNode>, { files = {}, links = {} }: MemoryHostOptions): void {
  const addParents = (path: string): void => {
    if (nodes.has(path)) return;
    addParents(parentOf(path));
    nodes.set(path, { kind: 'directory', mode: 0o755 });
  };
  for (const [path, contents] of Object.entries(files)) {
    addParents(parentOf(path));
    const bytes = typeof contents === 'string' ? new TextEncoder().encode(contents) : contents;
    nodes.set(path, { kind: 'file', contents: bytes, mode: 0o644, uid: 0, gid: 0, modifiedMs: 1 });
  }
  for (const [path, target] of Object.entries(links)) {
    addParents(parentOf(path));
    nodes.set(path, { kind: 'symlink', target });
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

function childrenOf(nodes: ReadonlyMap<string, MemoryNode>, path: string): string[] {
  const prefix = path === '/' ? '/' : `${path}/`;
  return [...nodes.keys()]
    .filter((name) => name.startsWith(prefix) && name !== path && !name.slice(prefix.length).includes('/'))
    .map((name) => name.slice(prefix.length))
    .sort();
}

function resolvePath(nodes: ReadonlyMap<string, MemoryNode>, path: string, depth = 0): string {
  if (depth > 40) throw new MigrateError('read-failed', `${path}: too many symbolic links`);
  const parts = path.split('/').filter((part) => part !== '' && part !== '.');
  let current = '';
  for (const [index, part] of parts.entries()) {
    if (part === '..') {
      current = current.slice(0, current.lastIndexOf('/'));
      continue;
    }
    const next = `${current}/${part}`;
    const node = nodes.get(next);
    if (node?.kind === 'symlink') {
      const rest = parts.slice(index + 1).join('/');
      const target = node.target.startsWith('/') ? node.target : `${current}/${node.target}`;
      return resolvePath(nodes, `${target}/${rest}`, depth + 1);
    }
    current = next;
  }
  return current || '/';
}

function statusOf(node: MemoryNode | undefined): FileStatus | undefined {
  if (node === undefined) return undefined;
  const { kind } = node;
  if (kind === 'file') {
    return {
      kind,
      sizeBytes: node.contents.length,
      mode: node.mode,
      uid: node.uid,
      gid: node.gid,
      modifiedMs: node.modifiedMs,
      device,
    };
  }
  return { kind, sizeBytes: 0, mode: kind === 'directory' ? node.mode : 0o777, uid: 0, gid: 0, modifiedMs: 1, device };
}

function bytesOf(node: { contents: Uint8Array }, changed: (change: string) => void): GrowingFile {
  const setSize = (sizeBytes: number): void => {
    const resized = new Uint8Array(sizeBytes);
    resized.set(node.contents.subarray(0, sizeBytes));
    node.contents = resized;
  };
  return {
    get sizeBytes() {
      return node.contents.length;
    },
    read: async (target, position) => {
      const part = node.contents.subarray(position, position + target.length);
      target.set(part);
      return part.length;
    },
    write: async (source, position) => {
      changed('write bytes');
      if (position + source.length > node.contents.length) setSize(position + source.length);
      node.contents.set(source, position);
    },
    setSize: async (sizeBytes) => {
      changed('set size');
      setSize(sizeBytes);
    },
    flush: async () => changed('flush'),
    close: async () => {},
  };
}

function describeNode(path: string, node: MemoryNode): string {
  if (node.kind === 'symlink') return `${path} -> ${node.target}`;
  if (node.kind === 'directory') return `${path}/ ${node.mode.toString(8)}`;
  const { mode, uid, gid, modifiedMs, contents } = node;
  return `${path} ${mode.toString(8)} ${uid}:${gid} ${modifiedMs} ${Buffer.from(contents).toString('base64')}`;
}
