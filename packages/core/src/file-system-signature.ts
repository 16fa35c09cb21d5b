import type { ByteReader } from './host.ts';

/** What the superblock at the start of a partition says. */
export interface FileSystemSignature {
  /** Name as Linux knows it: ext2, ext3, ext4, xfs, btrfs, vfat, swap, ntfs, crypto_LUKS, LVM2_member, linux_raid_member, iso9660, squashfs… */
  readonly type: string;
  /** As /dev/disk/by-uuid writes it: lower-case UUID, or "ABCD-1234" for FAT. */
  readonly uuid?: string;
  readonly label?: string;
}

/** Recognises the file system that starts at `offsetBytes`. Undefined where none is known. Never throws for content. */
export async function readFileSystemSignature(
  reader: ByteReader,
  offsetBytes: number,
): Promise<FileSystemSignature | undefined> {
  throw new Error(`not written yet ${reader.sizeBytes} ${offsetBytes}`);
}
