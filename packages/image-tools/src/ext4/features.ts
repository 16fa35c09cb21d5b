// Features of ext2, ext3 and ext4: Documentation/filesystems/ext4/super.rst of Linux; names as in lib/e2p/feature.c of e2fsprogs.
import { notReadable } from './ext4-error.ts';

const compatible = [
  'dir_prealloc',
  'imagic_inodes',
  'has_journal',
  'ext_attr',
  'resize_inode',
  'dir_index',
  'lazy_bg',
  undefined,
  'snapshot_bitmap',
  'sparse_super2',
  'fast_commit',
  'stable_inodes',
  'orphan_file',
] as const;

const incompatible = [
  'compression',
  'filetype',
  'needs_recovery',
  'journal_dev',
  'meta_bg',
  undefined,
  'extent',
  '64bit',
  'mmp',
  'flex_bg',
  'ea_inode',
  undefined,
  'dirdata',
  'metadata_csum_seed',
  'large_dir',
  'inline_data',
  'encrypt',
  'casefold',
] as const;

const readOnlyCompatible = [
  'sparse_super',
  'large_file',
  undefined,
  'huge_file',
  'uninit_bg',
  'dir_nlink',
  'extra_isize',
  undefined,
  'quota',
  'bigalloc',
  'metadata_csum',
  'replica',
  'read-only',
  'project',
  'shared_blocks',
  'verity',
  'orphan_present',
] as const;

/** The three words of feature bits in a superblock. */
export interface FeatureBits {
  readonly compatible: number;
  readonly incompatible: number;
  readonly readOnlyCompatible: number;
}

/** Names in the order and with the numbers for unknown ones ("FEATURE_I30") that dumpe2fs prints. */
export function featureNames(bits: FeatureBits): readonly string[] {
  return [
    ...namesOf(bits.compatible, compatible, 'C'),
    ...namesOf(bits.incompatible, incompatible, 'I'),
    ...namesOf(bits.readOnlyCompatible, readOnlyCompatible, 'R'),
  ];
}

function namesOf(bits: number, names: readonly (string | undefined)[], letter: string): readonly string[] {
  return Array.from({ length: 32 }, (_, bit) => bit)
    .filter((bit) => ((bits >>> bit) & 1) === 1)
    .map((bit) => names[bit] ?? `FEATURE_${letter}${bit}`);
}

const readable: ReadonlySet<string> = new Set([
  'filetype',
  'meta_bg',
  'extent',
  '64bit',
  'mmp',
  'flex_bg',
  'ea_inode',
  'metadata_csum_seed',
  'large_dir',
  'inline_data',
]);

const refusals: Readonly<Record<string, string>> = {
  needs_recovery: 'it was not unmounted and its journal must be replayed first (needs_recovery); run e2fsck -fy on it',
  journal_dev: 'it is the journal of another file system (journal_dev); take the partition with the files',
  compression:
    'its files may be compressed (compression), which no Linux kernel reads; copy them with the tool that made them',
  dirdata: 'its directories hold data of Lustre (dirdata); copy the files through Lustre',
  encrypt:
    'its names and contents may be encrypted (encrypt); mount it with its keys and make an image of the copied files',
  casefold: 'its names may ignore case (casefold), which a copy would not; copy the files to a file system without it',
};

/** Throws `unsupported` for the first feature that a reader has to understand and this one does not. */
export function refuseUnreadable(bits: FeatureBits): void {
  for (const name of namesOf(bits.incompatible, incompatible, 'I')) {
    if (!readable.has(name))
      throw notReadable(refusals[name] ?? `it uses the unknown feature ${name}; use a newer release`);
  }
}

/**
 * Why bitmaps may not tell which blocks are in use: features that concern writers only may give their bits another meaning.
 * Undefined where they do.
 */
export function unknownToBitmaps(bits: FeatureBits): string | undefined {
  return namesOf(bits.readOnlyCompatible, readOnlyCompatible, 'R').find(
    (name) => name === 'replica' || name.startsWith('FEATURE_'),
  );
}
