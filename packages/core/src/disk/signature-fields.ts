/** What the superblock at the start of a partition says. */
export interface FileSystemSignature {
  /** Name as Linux knows it: ext2, ext3, ext4, xfs, btrfs, vfat, swap, ntfs, crypto_LUKS, LVM2_member, linux_raid_member, squashfs… */
  readonly type: string;
  /** As /dev/disk/by-uuid writes it: lower-case UUID, or "ABCD-1234" for FAT. */
  readonly uuid?: string;
  readonly label?: string;
}

/** A UUID in plain byte order; all zeros is none. */
export function plainUuid(head: Buffer, offset: number): string {
  const hex = head.toString('hex', offset, offset + 16);
  if (/^0+$/.test(hex)) return '';
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-');
}

/** Text up to its first NUL. */
export function text(head: Buffer, offset: number, length: number): string {
  return head.toString('utf8', offset, offset + length).replace(/\0.*$/s, '');
}

/** A signature without what is empty. */
export function withText(
  type: string,
  { uuid = '', label = '' }: { uuid?: string; label?: string },
): FileSystemSignature {
  return { type, ...(uuid === '' ? {} : { uuid }), ...(label === '' ? {} : { label }) };
}
