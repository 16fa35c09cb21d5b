// Which members an archive may have, so that unpacking it cannot leave its directory and loses nothing on the way.
import { MigrateError } from '@migrate/core';
import { quotedPath, type TarMember, type TarMemberKind } from '../tar/read-tar.ts';

/** Limits of Linux (linux/limits.h): NAME_MAX, PATH_MAX. */
const longestName = 255;
const longestPath = 4095;
/** More names than balenaOS's partitions have by far; each takes memory. */
const maximumMembers = 1_000_000;

export type MemberCounts = Readonly<Record<TarMemberKind, number>>;

export interface ArchiveRules {
  /** The member's path without "." and empty parts; "" for the root. Throws `invalid-input` for a member that may not be. */
  admit(member: TarMember): string;
  /**
   * How many of each kind unpacking makes: directories that are only part of a path too, but not the root and lost+found,
   * which every file system has.
   */
  counts(): MemberCounts;
}

const ownDirectories = ['', 'lost+found'];

/**
 * Rules for one archive, to be asked member by member in its order. Refused are absolute paths, "..", members below anything
 * that is not a directory (a symlink above all, also one that the same archive made), hard links to anything but an earlier
 * member, and names that come twice. Device nodes are allowed: an operating system has them.
 */
export function archiveRules(fileSystem: 'ext' | 'fat'): ArchiveRules {
  const kinds = new Map<string, TarMemberKind>();
  /** Directories that tar makes because a path leads through them. */
  const implied = new Set<string>();
  /** FAT takes names that differ only in case for one. */
  const folded = new Set<string>();

  const enter = (directory: string, refuse: Refuse): void => {
    const kind = kinds.get(directory);
    if (kind !== undefined && kind !== 'directory')
      throw refuse(`would be written through ${quotedPath(directory)}, a ${kind}`);
    if (kind !== undefined) return;
    kinds.set(directory, 'directory');
    implied.add(directory);
  };

  return {
    admit: (member) => {
      const parts = pathParts(member.path);
      const path = parts.join('/');
      const refuse: Refuse = (why) =>
        new MigrateError('invalid-input', `${quotedPath(member.path)} ${why}`, { data: { entry: path } });
      checkParts(member, parts, refuse);
      for (let depth = 1; depth < parts.length; depth += 1) enter(parts.slice(0, depth).join('/'), refuse);
      const isNowNamed = member.kind === 'directory' && implied.delete(path);
      if (kinds.has(path) && !isNowNamed) throw refuse('comes twice');
      if (ownDirectories.includes(path) && member.kind !== 'directory') throw refuse('must be a directory');
      if (member.kind === 'hard-link') checkHardLink(member, kinds, refuse);
      if (member.kind === 'symlink' && member.linkName === '') throw refuse('is a symlink to nothing');
      if (fileSystem === 'fat') checkFat(member, parts, folded, refuse);
      if (kinds.size >= maximumMembers) throw refuse(`is one of more than ${maximumMembers} members`);
      kinds.set(path, member.kind);
      return path;
    },
    counts: () => {
      const counts = {
        ...{ file: 0, directory: 0, symlink: 0, 'hard-link': 0, fifo: 0 },
        ...{ 'block-device': 0, 'character-device': 0 },
      };
      for (const [path, kind] of kinds) if (!ownDirectories.includes(path)) counts[kind] += 1;
      return counts;
    },
  };
}

type Refuse = (why: string) => MigrateError;

export function pathParts(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function checkParts({ path, kind }: TarMember, parts: readonly string[], refuse: Refuse): void {
  if (path === '') throw refuse('is an empty name');
  if (path.startsWith('/')) throw refuse('is an absolute path');
  if (parts.includes('..')) throw refuse('leads out of its directory');
  if (path.length > longestPath || parts.some((part) => part.length > longestName))
    throw refuse('is longer than Linux allows');
  // GNU tar takes a file with a slash at its end for a directory.
  if (path.endsWith('/') && kind !== 'directory') throw refuse(`is a ${kind} with the name of a directory`);
}

function checkHardLink({ linkName }: TarMember, kinds: ReadonlyMap<string, TarMemberKind>, refuse: Refuse): void {
  const target = pathParts(linkName);
  const kind = kinds.get(target.join('/'));
  if (linkName.startsWith('/') || target.includes('..'))
    throw refuse(`is a hard link to ${quotedPath(linkName)}, outside the archive`);
  if (kind === undefined || kind === 'directory')
    throw refuse(`is a hard link to ${quotedPath(linkName)}, which is no earlier file of the archive`);
}

/** Microsoft's FAT specification, section 7: what a long name may not have; nor may it end with a dot or blank. */
const fatForbidden = /["*/:<>?\\|]|[. ]$/;

function checkFat(member: TarMember, parts: readonly string[], folded: Set<string>, refuse: Refuse): void {
  if (member.kind !== 'file' && member.kind !== 'directory') throw refuse(`is a ${member.kind}, which FAT cannot hold`);
  if (member.attributeBytes > 0) throw refuse('has extended attributes, which FAT cannot hold');
  const name = parts.at(-1);
  if (name === undefined) return;
  // Other names depend on code pages; no image of balenaOS has any in its boot partition.
  if (!/^[\x20-\x7e]+$/.test(name) || fatForbidden.test(name)) throw refuse('has a name that FAT cannot hold');
  const key = parts.join('/').toLowerCase();
  if (folded.has(key)) throw refuse('differs from another name only in case, which FAT cannot hold');
  folded.add(key);
}
