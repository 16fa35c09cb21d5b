// Which files go into which volume, and under which names: a walk over the living system that follows no links.
import { basename } from 'node:path';
import { quoted } from '../config/quoted.ts';
import { doing, MigrateError } from '../error.ts';
import type { HostReader } from '../host/host.ts';
import type { LivingEntry, LivingTree } from '../host/living-tree.ts';
import type { RequestedItem, RequestedVolume } from './backup-request.ts';
import { compileFilter, type PathFilter } from './path-filter.ts';

/** One entry of the archive, after the directories that it lies in. */
export interface BackupMember {
  /** "volume/directory/file": bytes, without a slash at either end. */
  readonly path: Buffer;
  /** Where it comes from; absent for a directory that exists only as part of a target. */
  readonly found?: {
    readonly entry: LivingEntry;
    readonly tree: LivingTree;
    /** Its path on this system, for people. */
    readonly source: string;
    /** Hard links within one item stay hard links. */
    readonly item: RequestedItem;
  };
}

export interface MemberOptions {
  /** Directories that are never entered: our own. */
  readonly leaveOut: readonly string[];
  /** Told of what is not taken, by its path on this system. */
  readonly onLeftOut: (source: string, why: LeftOutReason) => void;
}

export type LeftOutReason = 'socket' | 'device' | 'other file system' | 'own' | 'long name';

/** Of longer ones the supervisor's tar says "bad archive": busybox, archival/libarchive/get_header_tar.c, 4095 with the NUL. */
const longestName = 4094;
/** Names of a volume with several items are held in memory, and stage 1 has little. */
const maximumClaims = 200_000;

/**
 * Everything that a volume gets. Directories come before what lies in them; with a filter, only those that lead to something
 * chosen. Throws `not-found` for a source that is not there, `invalid-input` where two items claim one name.
 */
export async function* backupMembers(
  host: HostReader,
  volume: RequestedVolume,
  options: MemberOptions,
): AsyncGenerator<BackupMember> {
  const claims = createClaims(volume);
  const sources: { item: RequestedItem; tree: LivingTree; path: string }[] = [];
  for (const item of volume.items) sources.push({ item, ...(await openSource(host, item)) });
  // So that a directory which an item names is known with its owner and mode before another item needs it.
  sources.sort(
    (a, b) => a.item.target.length - b.item.target.length || Number(isFile(a.tree)) - Number(isFile(b.tree)),
  );
  for (const { item, tree, path } of sources) {
    const place = [volume.name, ...item.target];
    const pending: BackupMember[] = place
      .slice(0, isFile(tree) ? place.length : -1)
      .map((_, index) => ({ path: Buffer.from(place.slice(0, index + 1).join('/')) }));
    const walk: Walk = { tree, item, options, claims, filter: filterOf(item), pending };
    const top = Buffer.from([...place, ...(isFile(tree) ? [basename(path)] : [])].join('/'));
    yield* take(walk, { path: top, found: { entry: tree.root, tree, source: path, item } });
  }
}

function isFile(tree: LivingTree): boolean {
  return tree.root.kind !== 'directory';
}

async function openSource(host: HostReader, { source }: RequestedItem): Promise<{ tree: LivingTree; path: string }> {
  // A source that is a link itself was named by the operator: what it leads to is meant.
  const path = await doing(`examining ${source}`, 'read-failed', () => host.realPath(source));
  const tree = path === undefined ? undefined : await host.openTree(path);
  if (path === undefined || tree === undefined)
    throw new MigrateError('not-found', `${source} does not exist`, { data: { path: source } });
  if (tree.root.kind !== 'directory' && tree.root.kind !== 'file') {
    throw new MigrateError('invalid-input', `${source} is neither a file nor a directory`, { data: { path: source } });
  }
  return { tree, path };
}

function filterOf({ filter }: RequestedItem): PathFilter {
  if (filter === undefined) return { matches: () => true };
  const compiled = compileFilter(filter);
  if ('fault' in compiled) throw new MigrateError('invalid-input', `the filter ${quoted(filter)}: ${compiled.fault}`);
  return compiled;
}

interface Walk {
  readonly tree: LivingTree;
  readonly item: RequestedItem;
  readonly options: MemberOptions;
  readonly claims: Claims;
  readonly filter: PathFilter;
  /** Directories above, outermost first, that are taken as soon as something in them is. */
  readonly pending: BackupMember[];
}

type Found = BackupMember & Required<Pick<BackupMember, 'found'>>;

async function* take(walk: Walk, member: Found): AsyncGenerator<BackupMember> {
  const { pending, filter, options, claims } = walk;
  const { entry, source } = member.found;
  const why = reasonAgainst(member, options);
  const isChosen = filter.matches(source);
  if (why !== undefined) {
    if (isChosen || entry.kind === 'directory') options.onLeftOut(source, why);
    return;
  }
  if (isChosen) {
    for (const directory of pending.splice(0)) if (claims.directory(directory)) yield directory;
    if (entry.kind === 'directory' ? claims.directory(member) : claims.file(member)) yield member;
  }
  if (entry.kind !== 'directory') return;
  if (!isChosen) pending.push(member);
  yield* within(walk, member);
  if (pending.at(-1) === member) pending.pop();
}

async function* within(walk: Walk, { path, found }: Found): AsyncGenerator<BackupMember> {
  for await (const entry of walk.tree.children(found.entry)) {
    const name = Buffer.from(entry.name);
    const source = `${found.source === '/' ? '' : found.source}/${name}`;
    yield* take(walk, { path: Buffer.concat([path, Buffer.from('/'), name]), found: { ...found, entry, source } });
  }
}

function reasonAgainst({ path, found }: Found, { leaveOut }: MemberOptions): LeftOutReason | undefined {
  const { entry, source } = found;
  const { kind, isElsewhere, sizeBytes } = entry;
  if (leaveOut.includes(source)) return 'own';
  if (isElsewhere) return 'other file system';
  // A directory has a slash behind its name.
  if (path.length >= longestName || (kind === 'symlink' && sizeBytes > longestName)) return 'long name';
  if (kind === 'socket') return 'socket';
  return kind === 'block-device' || kind === 'character-device' ? 'device' : undefined;
}

type Claims = ReturnType<typeof createClaims>;

/** Who has which name in a volume. Of directories that several items have the first one counts; files must be alone. */
function createClaims({ name, items }: RequestedVolume) {
  const directories = new Map<string, RequestedItem | undefined>();
  const files = new Map<string, RequestedItem | undefined>();
  const claim = ({ path, found }: BackupMember, own: typeof files): boolean => {
    // One source alone names nothing twice.
    if (items.length < 2 && found !== undefined) return true;
    const key = path.toString('latin1');
    if (own === directories && directories.has(key)) return false;
    const owner = [directories, files].find((known) => known.has(key));
    if (owner !== undefined) {
      throw new MigrateError(
        'invalid-input',
        `${owner.get(key)?.source ?? 'a target'} and ${found?.source ?? 'a target'} would both become ${quoted(path.toString(), 200)}`,
        { data: { path: found?.source ?? name } },
      );
    }
    if (directories.size + files.size >= maximumClaims)
      throw new MigrateError('unsupported', `volume ${name} has several items with more than ${maximumClaims} files`);
    own.set(key, found?.item);
    return true;
  };
  return {
    directory: (member: BackupMember): boolean => claim(member, directories),
    file: (member: BackupMember): boolean => claim(member, files),
  };
}
