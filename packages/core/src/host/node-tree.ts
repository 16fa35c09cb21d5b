// A living tree over node:fs. Every entry is reached through the open directory that it was listed from, so that neither long
// paths nor directories that become links meanwhile lead anywhere else. What the kernel answers from memory is asked for without
// a thread: for trees of many small files that takes a tenth of the time.
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  read,
  readdirSync,
  readlinkSync,
  readSync,
} from 'node:fs';
import { promisify } from 'node:util';
import type { ExtendedAttribute, TreeEntryKind } from '../disk/file-tree.ts';
import { doing, isSystemError, MigrateError } from '../error.ts';
import { parseFileAttributes } from './file-attributes.ts';
import type { ByteReader, DeviceNumber } from './host.ts';
import type { LivingEntry, LivingTree } from './living-tree.ts';
import { toDeviceNumber } from './node-bytes.ts';
import { runCommand } from './run-command.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** What open(2) and readlink(2) say where a name has gone or is no longer what it was. */
const gone = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'EINVAL'];
/** Names of one directory are held in memory. */
const maximumNames = 500_000;
/** Entries of which getfattr is asked at once. */
const attributeBatch = 500;
/** Larger pieces may have to come from the medium. */
const smallReadBytes = 64 * 1024;

const readInThread = promisify(read);

/** How an entry is reached, how it is called in messages, and who knows its extended attributes. */
interface Place {
  /** Bytes, since Linux names need not be UTF-8. */
  readonly access: Buffer;
  readonly shown: string;
  readonly attributes: (place: Place) => Promise<readonly ExtendedAttribute[]>;
}

/** The tree below `path`; undefined where nothing is there. `getfattr` is how that program is started. */
export async function openLivingTree(path: string, getfattr: readonly string[]): Promise<LivingTree | undefined> {
  const places = new WeakMap<LivingEntry, Place>();
  const placeOf = (entry: LivingEntry): Place => {
    const place = places.get(entry);
    if (place === undefined) throw new MigrateError('internal', 'the entry is of another tree');
    return place;
  };
  const alone = (place: Place) => attributesOf([place.access], getfattr).then((found) => found[0] ?? []);
  const top: Place = { access: Buffer.from(path), shown: path, attributes: alone };
  const root = await entryAt(top, '', undefined);
  if (root === undefined) return undefined;
  places.set(root, top);

  async function* children(directory: LivingEntry): AsyncGenerator<LivingEntry> {
    const { access, shown } = placeOf(directory);
    const fd = await openGently(access, shown, O_DIRECTORY);
    if (fd === undefined) return;
    try {
      const names = await namesIn(fd, shown);
      const accessOf = (name: string): Buffer => Buffer.from(`/proc/${process.pid}/fd/${fd}/${name}`, 'latin1');
      const attributes = inBatches(names, (some) => attributesOf(some.map(accessOf), getfattr));
      for (const [index, name] of names.entries()) {
        const own: Place = {
          access: accessOf(name),
          shown: `${shown === '/' ? '' : shown}/${Buffer.from(name, 'latin1')}`,
          attributes: () => attributes(index),
        };
        const entry = await entryAt(own, name, root?.identity);
        if (entry === undefined) continue;
        places.set(entry, own);
        yield entry;
      }
    } finally {
      closeSync(fd);
    }
  }

  return {
    root,
    children,
    linkTarget: async (symlink) => {
      const { access, shown } = placeOf(symlink);
      return unlessGone(`reading ${shown}`, () => readlinkSync(access, { encoding: 'buffer' }));
    },
    extendedAttributes: async (entry) => {
      const place = placeOf(entry);
      return place.attributes(place);
    },
    open: async (file) => {
      const { access, shown } = placeOf(file);
      const fd = await openGently(access, shown, 0);
      if (fd === undefined) return undefined;
      const status = fstatSync(fd);
      if (status.isFile()) return readingBytes(shown, fd, status.size);
      closeSync(fd);
      return undefined;
    },
  };
}

/** Never waits for the other end of a fifo, and never follows a link. */
function openGently(access: Buffer, shown: string, flags: number): Promise<number | undefined> {
  return unlessGone(`opening ${shown}`, () => openSync(access, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | flags));
}

/** Undefined where what `action` is about has gone or become something else. */
function unlessGone<T>(phrase: string, action: () => T): Promise<T | undefined> {
  return doing(phrase, 'read-failed', async () => {
    try {
      return action();
    } catch (thrown) {
      if (isSystemError(thrown) && gone.includes(thrown.code)) return undefined;
      throw thrown;
    }
  });
}

function readingBytes(shown: string, fd: number, sizeBytes: number): ByteReader {
  return {
    sizeBytes,
    read: (target, position) =>
      doing(`reading ${shown} at byte ${position}`, 'read-failed', async () => {
        let done = 0;
        while (done < target.length) {
          const wanted = target.length - done;
          const count =
            wanted <= smallReadBytes
              ? readSync(fd, target, done, wanted, position + done)
              : (await readInThread(fd, target, done, wanted, position + done)).bytesRead;
          if (count === 0) break;
          done += count;
        }
        return done;
      }),
    close: async () => closeSync(fd),
  };
}

/** Names as one character for each byte. */
function namesIn(fd: number, shown: string): Promise<readonly string[]> {
  return doing(`listing ${shown}`, 'read-failed', async () => {
    const names = readdirSync(`/proc/self/fd/${fd}`, { encoding: 'latin1' });
    if (names.length > maximumNames)
      throw new MigrateError('unsupported', `it holds more than ${maximumNames} names; leave it out, or pack it first`);
    return names.sort();
  });
}

async function entryAt(
  { access, shown }: Place,
  name: string,
  rootIdentity: string | undefined,
): Promise<LivingEntry | undefined> {
  const status = await unlessGone(`examining ${shown}`, () => lstatSync(access, { bigint: true }));
  if (status === undefined) return undefined;
  const kind = kindOf(status);
  const deviceText = `${status.dev}:`;
  return {
    name: Buffer.from(name, 'latin1'),
    kind,
    mode: Number(status.mode & 0o7777n),
    uid: Number(status.uid),
    gid: Number(status.gid),
    modifiedNs: status.mtimeNs,
    sizeBytes: kind === 'file' || kind === 'symlink' ? Number(status.size) : 0,
    inode: Number(status.ino),
    links: Number(status.nlink),
    identity: `${deviceText}${status.ino}`,
    isElsewhere: rootIdentity !== undefined && !rootIdentity.startsWith(deviceText),
    ...represented(kind, status.rdev),
  };
}

function represented(kind: TreeEntryKind, rdev: bigint): { represents?: DeviceNumber } {
  return kind === 'block-device' || kind === 'character-device' ? { represents: toDeviceNumber(rdev) } : {};
}

function kindOf(status: BigIntStats): TreeEntryKind {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'directory';
  if (status.isSymbolicLink()) return 'symlink';
  if (status.isBlockDevice()) return 'block-device';
  if (status.isCharacterDevice()) return 'character-device';
  return status.isFIFO() ? 'fifo' : 'socket';
}

/** Asks for the attributes of neighbours at once: a program for each file would take longer than all the rest. */
function inBatches(
  names: readonly string[],
  ask: (names: readonly string[]) => Promise<readonly (readonly ExtendedAttribute[])[]>,
): (index: number) => Promise<readonly ExtendedAttribute[]> {
  let start = -1;
  let batch: ReturnType<typeof ask> | undefined;
  return async (index) => {
    const wanted = index - (index % attributeBatch);
    if (batch === undefined || wanted !== start) {
      start = wanted;
      batch = ask(names.slice(start, start + attributeBatch));
    }
    return (await batch)[index - start] ?? [];
  };
}

async function attributesOf(
  accesses: readonly Buffer[],
  getfattr: readonly string[],
): Promise<readonly (readonly ExtendedAttribute[])[]> {
  // An argument of a program is UTF-8 here; a name that is none cannot be asked for.
  const paths = accesses.map((access) => access.toString());
  const askable = paths.filter((path, index) => accesses[index]?.equals(Buffer.from(path)));
  const options = ['--no-dereference', '--dump', '--match=-', '--encoding=hex', '--absolute-names', '--'];
  const found = await outputOf([...getfattr, ...options, ...askable]);
  const attributes = parseFileAttributes(found);
  return paths.map((path) => attributes.get(path) ?? []);
}

/** It fails where one of the files has gone, and still tells of the others. */
async function outputOf(argv: readonly string[]): Promise<string> {
  try {
    return (await runCommand(argv)).stdout;
  } catch (thrown) {
    const { stdout } = (thrown instanceof MigrateError ? (thrown.cause ?? {}) : {}) as { stdout?: unknown };
    if (thrown instanceof MigrateError && thrown.code === 'command-failed' && typeof stdout === 'string') return stdout;
    throw thrown;
  }
}
