// Signatures of what lies under file systems: encryption, volume groups, RAID.

import type { ByteReader } from '../host/host.ts';
import { readExactly } from './byte-reader.ts';
import { type FileSystemSignature, plainUuid, text, withText } from './signature-fields.ts';

/** LUKS1 and LUKS2 on-disk formats: magic at 0, version at 6, text UUID at 168 in both; a label at 24 in LUKS2. */
export function luks(head: Buffer): FileSystemSignature | undefined {
  if (head.toString('latin1', 0, 6) !== 'LUKS\xba\xbe') return undefined;
  const label = head.readUInt16BE(6) === 2 ? text(head, 24, 48) : '';
  return withText('crypto_LUKS', { uuid: text(head, 168, 40), label });
}

/** LVM2: the label may stand in any of the first four sectors (lib/label/label.h); the UUID of the volume behind it. */
export function lvm(head: Buffer): FileSystemSignature | undefined {
  for (let sector = 0; sector < 4; sector += 1) {
    const label = head.subarray(sector * 512, (sector + 1) * 512);
    if (label.toString('latin1', 0, 8) !== 'LABELONE') continue;
    const id = text(label, Math.min(label.readUInt32LE(20), 512), 32);
    const groups = /^(.{6})(.{4})(.{4})(.{4})(.{4})(.{4})(.{6})$/.exec(id)?.slice(1) ?? [];
    return withText('LVM2_member', { uuid: groups.join('-') });
  }
  return undefined;
}

const mdMagic = 0xa92b4efc;

/** md 1.1 at the start, 1.2 after 4 KiB (struct mdp_superblock_1 in include/uapi/linux/raid/md_p.h). */
export function mdAtStart(head: Buffer): FileSystemSignature | undefined {
  return mdVersion1(head.subarray(0, 4096)) ?? mdVersion1(head.subarray(4096, 8192));
}

/**
 * md 1.0, 8 KiB or a little more before the end, and 0.90 in the last whole 64 KiB. The members of such a mirror look like the
 * file system on it. The rules for the place are those of super_1_load and MD_NEW_SIZE_SECTORS in Linux.
 */
export async function mdAtEnd(
  reader: ByteReader,
  { offsetBytes, sizeBytes }: { offsetBytes: number; sizeBytes: number },
): Promise<FileSystemSignature | undefined> {
  const read = async (position: number): Promise<Buffer | undefined> =>
    position < 0 ? undefined : readExactly(reader, offsetBytes + position, 4096);
  const version1 = await read(Math.floor((Math.floor(sizeBytes / 512) - 16) / 8) * 4096);
  const found = version1 === undefined ? undefined : mdVersion1(version1);
  if (found !== undefined) return found;
  const version0 = await read(Math.floor(sizeBytes / 65536) * 65536 - 65536);
  return version0 === undefined ? undefined : mdVersion0(version0);
}

function mdVersion1(block: Buffer): FileSystemSignature | undefined {
  if (block.readUInt32LE(0) !== mdMagic || block.readUInt32LE(4) !== 1) return undefined;
  return withText('linux_raid_member', { uuid: plainUuid(block, 16), label: text(block, 32, 32) });
}

/** Version 0.90 keeps the words of its UUID apart and in the byte order of the machine (mdp_super_t). */
function mdVersion0(block: Buffer): FileSystemSignature | undefined {
  if (block.readUInt32LE(0) !== mdMagic || block.readUInt32LE(4) !== 0) return undefined;
  const words = Buffer.alloc(16);
  [20, 52, 56, 60].forEach((offset, index) => {
    words.writeUInt32BE(block.readUInt32LE(offset), index * 4);
  });
  return withText('linux_raid_member', { uuid: plainUuid(words, 0) });
}
