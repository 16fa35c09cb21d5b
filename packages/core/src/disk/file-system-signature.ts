import type { ByteReader } from '../host/host.ts';
import { readExactly } from './byte-reader.ts';
import { luks, lvm, mdAtEnd, mdAtStart } from './container-signature.ts';
import { type FileSystemSignature, plainUuid, text, withText } from './signature-fields.ts';

/** Enough for every superblock near the start, of which that of btrfs is the last. */
const headBytes = 72 * 1024;

/**
 * Recognises the file system that starts at `offsetBytes`. Undefined where none is known. Never throws for content. Only with
 * `sizeBytes`, the size of its partition, are members of old RAID mirrors known, whose mark stands at the end.
 */
export async function readFileSystemSignature(
  reader: ByteReader,
  offsetBytes: number,
  sizeBytes?: number,
): Promise<FileSystemSignature | undefined> {
  const head = Buffer.alloc(headBytes);
  await reader.read(head, offsetBytes);
  const raid = sizeBytes === undefined ? undefined : await mdAtEnd(reader, { offsetBytes, sizeBytes });
  if (raid !== undefined) return raid;
  for (const recognise of recognisers) {
    const found = recognise(head);
    if (found !== undefined) return found;
  }
  return isoImage(reader, offsetBytes);
}

type Recogniser = (head: Buffer) => FileSystemSignature | undefined;

/** Containers first: what is inside of them may show through at its usual place. */
const recognisers: readonly Recogniser[] = [luks, lvm, mdAtStart, ext, xfs, btrfs, f2fs, squashfs, ntfs, fat, swap];

/** Documentation/filesystems/ext4/super.rst. ext3 has a journal; ext4 also features that ext3 does not know. */
function ext(head: Buffer): FileSystemSignature | undefined {
  const base = 1024;
  if (head.readUInt16LE(base + 0x38) !== 0xef53) return undefined;
  const [compatible, incompatible, readOnly] = [0x5c, 0x60, 0x64].map((offset) => head.readUInt32LE(base + offset)) as [
    number,
    number,
    number,
  ];
  const knownToExt3 = { incompatible: 0x2 | 0x4 | 0x8 | 0x10, readOnly: 0x1 | 0x2 | 0x4 };
  const isExt4 = (incompatible & ~knownToExt3.incompatible) !== 0 || (readOnly & ~knownToExt3.readOnly) !== 0;
  const type = isExt4 ? 'ext4' : (compatible & 0x4) !== 0 ? 'ext3' : 'ext2';
  return withText(type, { uuid: plainUuid(head, base + 0x68), label: text(head, base + 0x78, 16) });
}

/** XFS is big-endian; struct xfs_dsb in fs/xfs/libxfs/xfs_format.h. */
function xfs(head: Buffer): FileSystemSignature | undefined {
  if (head.toString('latin1', 0, 4) !== 'XFSB') return undefined;
  return withText('xfs', { uuid: plainUuid(head, 32), label: text(head, 108, 12) });
}

/** Superblock at 64 KiB; magic at 64, fsid at 32, label at 299 (include/uapi/linux/btrfs_tree.h). */
function btrfs(head: Buffer): FileSystemSignature | undefined {
  const base = 64 * 1024;
  if (head.toString('latin1', base + 64, base + 72) !== '_BHRfS_M') return undefined;
  return withText('btrfs', { uuid: plainUuid(head, base + 32), label: text(head, base + 299, 256) });
}

/** Superblock at 1 KiB (include/linux/f2fs_fs.h); the label is UTF-16. */
function f2fs(head: Buffer): FileSystemSignature | undefined {
  const base = 1024;
  if (head.readUInt32LE(base) !== 0xf2f52010) return undefined;
  return withText('f2fs', {
    uuid: plainUuid(head, base + 108),
    label: head.toString('utf16le', base + 124, base + 124 + 128).replace(/\0.*$/s, ''),
  });
}

function squashfs(head: Buffer): FileSystemSignature | undefined {
  return head.toString('latin1', 0, 4) === 'hsqs' ? { type: 'squashfs' } : undefined;
}

function ntfs(head: Buffer): FileSystemSignature | undefined {
  if (head.toString('latin1', 3, 11) !== 'NTFS    ') return undefined;
  return { type: 'ntfs', uuid: head.readBigUInt64LE(0x48).toString(16).toUpperCase().padStart(16, '0') };
}

/** Microsoft's FAT specification, section 3: told from other boot sectors by a sound BIOS parameter block. */
function fat(head: Buffer): FileSystemSignature | undefined {
  const sectorSize = head.readUInt16LE(11);
  const clusterSectors = head[13] ?? 0;
  const isSound =
    head.readUInt16LE(510) === 0xaa55 &&
    [512, 1024, 2048, 4096].includes(sectorSize) &&
    clusterSectors > 0 &&
    (clusterSectors & (clusterSectors - 1)) === 0 &&
    head.readUInt16LE(14) > 0 &&
    [1, 2].includes(head[16] ?? 0) &&
    ((head[21] ?? 0) >= 0xf8 || head[21] === 0xf0);
  if (!isSound) return undefined;
  const isFat32 = head.readUInt16LE(22) === 0;
  const extended = isFat32 ? 64 : 36;
  const bootSignature = head[extended + 2];
  if (bootSignature !== 0x28 && bootSignature !== 0x29) return { type: 'vfat' };
  const serial = head
    .readUInt32LE(extended + 3)
    .toString(16)
    .toUpperCase()
    .padStart(8, '0');
  const label = bootSignature === 0x29 ? head.toString('latin1', extended + 7, extended + 18).trimEnd() : '';
  return withText('vfat', {
    uuid: `${serial.slice(0, 4)}-${serial.slice(4)}`,
    label: label === 'NO NAME' ? '' : label,
  });
}

/** The signature ends the first page, whose size differs by architecture (include/linux/swap.h). */
function swap(head: Buffer): FileSystemSignature | undefined {
  for (const pageBytes of [4096, 16384, 65536]) {
    if (head.toString('latin1', pageBytes - 10, pageBytes) === 'SWAPSPACE2') {
      return withText('swap', { uuid: plainUuid(head, 1024 + 12), label: text(head, 1024 + 28, 16) });
    }
  }
  return undefined;
}

/** ECMA-119, section 8.4: the primary volume descriptor; its time of change serves as UUID, as in libblkid. */
async function isoImage(reader: ByteReader, offsetBytes: number): Promise<FileSystemSignature | undefined> {
  const descriptor = await readExactly(reader, offsetBytes + 32768, 2048);
  if (descriptor?.toString('latin1', 1, 6) !== 'CD001') return undefined;
  const [created = '', changed = ''] = [813, 830].map((offset) => descriptor.toString('latin1', offset, offset + 16));
  const digits =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)$/.exec(/[1-9]/.test(changed) ? changed : created)?.slice(1) ?? [];
  return withText('iso9660', { uuid: digits.join('-'), label: descriptor.toString('latin1', 40, 72).trimEnd() });
}
