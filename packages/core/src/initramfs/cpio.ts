// Writes the archive format that the kernel unpacks as its first root file system: "newc" of cpio
// (Documentation/driver-api/early-userspace/buffer-format.rst). Pure: entries in, bytes out.
import { MigrateError } from '../error.ts';

export type CpioNode =
  | { readonly kind: 'file'; readonly contents: Uint8Array | FileStream }
  | { readonly kind: 'directory' }
  | { readonly kind: 'symlink'; readonly target: string }
  | { readonly kind: 'character-device' | 'block-device'; readonly major: number; readonly minor: number };

/** A file that is not held in memory. */
export interface FileStream {
  readonly sizeBytes: number;
  /** Gives exactly so many bytes. */
  readonly chunks: () => AsyncIterable<Uint8Array>;
}

export interface CpioEntry {
  /** Relative path without "." or "..": "migrate/init". */
  readonly path: string;
  /** Permission bits (0o7777). */
  readonly mode: number;
  readonly node: CpioNode;
}

/** Bits of st_mode that say what an inode is (stat(2), inode(7)). */
const modeOfKind: Readonly<Record<CpioNode['kind'], number>> = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  'character-device': 0o020000,
  'block-device': 0o060000,
};

/** The kernel's unpacker takes names up to PATH_MAX with the final NUL (init/initramfs.c). */
const nameLimitBytes = 4095;
const fieldLimit = 0xffffffff;
const archiveBlockBytes = 512;
const trailerName = 'TRAILER!!!';

/**
 * Yields the archive in pieces, so that only one entry needs to be in memory. Missing parent directories are put before
 * their first entry with mode 0755. Equal entries give equal bytes: owner root, time 0, inodes counted from 1.
 *
 * Throws `invalid-input` for a path that is not plain, comes twice, or lies below something that is no directory.
 */
export async function* writeCpio(
  entries: Iterable<CpioEntry> | AsyncIterable<CpioEntry>,
): AsyncGenerator<Uint8Array, void, void> {
  const kinds = new Map<string, CpioNode['kind']>();
  let position = 0;
  const counted = (bytes: Uint8Array): Uint8Array => {
    position += bytes.length;
    return bytes;
  };
  for await (const entry of entries) {
    for (const complete of [...missingParents(kinds, entry.path), entry]) {
      if (kinds.has(complete.path))
        throw new MigrateError('invalid-input', `${complete.path} comes twice in the archive`);
      kinds.set(complete.path, complete.node.kind);
      const contents = contentsOf(complete);
      const sizeBytes = contents instanceof Uint8Array ? contents.length : contents.sizeBytes;
      yield counted(header(complete, { inode: kinds.size, sizeBytes }));
      if (!(contents instanceof Uint8Array))
        for await (const chunk of exactly(contents, complete.path)) yield counted(chunk);
      else if (contents.length > 0) yield counted(contents);
      const padding = paddingTo(4, sizeBytes);
      if (padding > 0) yield counted(new Uint8Array(padding));
    }
  }
  const trailer: CpioEntry = { path: trailerName, mode: 0, node: { kind: 'file', contents: new Uint8Array() } };
  yield counted(header(trailer, { inode: 0, sizeBytes: 0, fileType: 0 }));
  yield new Uint8Array(paddingTo(archiveBlockBytes, position));
}

function missingParents(kinds: ReadonlyMap<string, CpioNode['kind']>, path: string): CpioEntry[] {
  const names = path.split('/');
  if (path.includes('\0') || path === trailerName || names.some((name) => ['', '.', '..'].includes(name))) {
    throw new MigrateError('invalid-input', `${JSON.stringify(path)} is no plain relative path for an archive`);
  }
  const parents: CpioEntry[] = [];
  for (let depth = 1; depth < names.length; depth += 1) {
    const parent = names.slice(0, depth).join('/');
    const kind = kinds.get(parent);
    if (kind === undefined) parents.push({ path: parent, mode: 0o755, node: { kind: 'directory' } });
    else if (kind !== 'directory') {
      throw new MigrateError('invalid-input', `${path} lies below ${parent}, which is no directory in the archive`);
    }
  }
  return parents;
}

async function* exactly({ sizeBytes, chunks }: FileStream, path: string): AsyncGenerator<Uint8Array> {
  let done = 0;
  for await (const chunk of chunks()) {
    done += chunk.length;
    if (done <= sizeBytes) yield chunk;
  }
  if (done !== sizeBytes) throw new MigrateError('busy', `${path} changed its size while it was packed`);
}

function contentsOf({ path, node }: CpioEntry): Uint8Array | FileStream {
  if (node.kind === 'file') return node.contents;
  if (node.kind !== 'symlink') return new Uint8Array();
  if (node.target === '' || node.target.includes('\0')) {
    throw new MigrateError('invalid-input', `the link ${path} has no usable target`);
  }
  return new TextEncoder().encode(node.target);
}

/** Magic, thirteen fields of eight hexadecimal digits, the name with its NUL, and padding to four bytes. */
function header(
  { path, mode, node }: CpioEntry,
  { inode, sizeBytes, fileType = modeOfKind[node.kind] }: { inode: number; sizeBytes: number; fileType?: number },
): Uint8Array {
  const name = new TextEncoder().encode(path);
  const [major, minor] = 'major' in node ? [node.major, node.minor] : [0, 0];
  if (name.length > nameLimitBytes || sizeBytes > fieldLimit) {
    throw new MigrateError('invalid-input', `${path.slice(0, 80)} is too long or too large for a cpio archive`);
  }
  const linkCount = node.kind === 'directory' ? 2 : 1;
  const owner = [0, 0];
  const time = 0;
  const device = [0, 0];
  const checksum = 0;
  const fields = [
    inode,
    fileType | (mode & 0o7777),
    ...owner,
    linkCount,
    time,
    sizeBytes,
    ...device,
    major,
    minor,
    name.length + 1,
    checksum,
  ];
  const start = `070701${fields.map(hexadecimal).join('')}`;
  const length = start.length + name.length + 1;
  const bytes = new Uint8Array(length + paddingTo(4, length));
  bytes.set(new TextEncoder().encode(start));
  bytes.set(name, start.length);
  return bytes;
}

function hexadecimal(value: number): string {
  if (!Number.isInteger(value) || value < 0 || value > fieldLimit) {
    throw new MigrateError('invalid-input', `${value} does not fit into a field of a cpio archive`);
  }
  return value.toString(16).toUpperCase().padStart(8, '0');
}

function paddingTo(multiple: number, length: number): number {
  return (multiple - (length % multiple)) % multiple;
}
