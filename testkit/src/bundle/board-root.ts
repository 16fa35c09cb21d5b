// The root directory of an old board, as far as stage 1 looks at it: no library that could be used, and files in place of
// what its kernel tells.

import { copyFile, mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Disk, Facts } from '@migrate/core';
import { execa } from 'execa';

/** Features of the processor, as /proc/cpuinfo has them; of a Raspberry Pi 3. */
export const processorFeatures: readonly string[] =
  'half thumb fastmult vfp edsp neon vfpv3 tls vfpv4 idiva idivt vfpd32 lpae evtstrm crc32'.split(' ');

/** What stage 2 asks of a kernel; this one has all of it in itself. */
const builtin = ['loop', 'ext4', 'vfat', 'nls_cp437'];

export async function makeBoardRoot(root: string, facts: Facts, busybox: string): Promise<void> {
  const mounts = facts.mounts.map(
    ({ device, target, options, fileSystem, source }, index) =>
      `${index + 20} 1 ${device} / ${target} ${options.join()} - ${fileSystem} ${source} rw\n`,
  );
  const files: Record<string, string> = {
    'etc/os-release': `ID=${facts.os.id}\nVERSION_ID="${facts.os.versionId}"\nPRETTY_NAME="${facts.os.prettyName}"\nID_LIKE=${facts.os.idLike.join(' ')}\n`,
    // Raspbian's, but without the library; and libraries that no loader takes.
    // biome-ignore lint/suspicious/noTemplateCurlyInString: ld.so(8) replaces it
    'etc/ld.so.preload': '/usr/lib/arm-linux-gnueabihf/libarmmem-${PLATFORM}.so\n',
    'lib/ld-linux-armhf.so.3': 'not a loader\n',
    'lib/arm-linux-gnueabihf/libc.so.6': 'not a library\n',
    'proc/cmdline': `${facts.kernel.commandLine}\n`,
    'proc/cpuinfo': `processor\t: 0\nFeatures\t: ${processorFeatures.join(' ')}\n`,
    'proc/meminfo': `MemTotal: ${facts.memory.totalBytes / 1024} kB\nMemAvailable: ${facts.memory.availableBytes / 1024} kB\n`,
    'proc/self/mountinfo': mounts.join(''),
    'proc/swaps': 'Filename Type Size Used Priority\n',
    'proc/sys/kernel/hostname': `${facts.hostname}\n`,
    'proc/sys/kernel/osrelease': `${facts.kernel.release}\n`,
    'proc/device-tree/model': `${facts.hardware.deviceTreeModel}\0`,
    [`lib/modules/${facts.kernel.release}/modules.builtin`]: builtin.map((name) => `kernel/${name}.ko\n`).join(''),
    ...Object.fromEntries(facts.disks.flatMap(sysfsOf)),
    ...Object.fromEntries(facts.bootFiles.map(({ path, text }) => [path.slice(1), text])),
  };
  for (const [path, text] of Object.entries(files)) await place(join(root, path), text);
  for (const { path, sizeBytes } of emptyFiles(facts)) await place(join(root, path), '', sizeBytes);
  for (const name of ['bin', 'dev', 'root', 'tmp', 'var/lib', 'sys/class/block'])
    await mkdir(join(root, name), { recursive: true });
  await copyFile(busybox, join(root, 'bin/busybox'));
  for (const name of ['sh', 'readlink', 'uname']) await symlink('busybox', join(root, 'bin', name));
  for (const [name, minor] of Object.entries({ null: '3', urandom: '9' }))
    await execa('mknod', ['-m', '666', join(root, 'dev', name), 'c', '1', minor]);
  for (const disk of facts.disks) {
    await symlink(`../../block/${disk.name}`, join(root, 'sys/class/block', disk.name));
    await makeDisk(join(root, disk.path), disk);
  }
}

/** Files, and the mailbox of the firmware, that are only looked for. */
function emptyFiles({ bootListing = [], bootFiles, kernel }: Facts): { path: string; sizeBytes: number }[] {
  const known = new Set(bootFiles.map(({ path }) => path));
  return [
    ...bootListing.filter(({ path, kind }) => kind !== 'directory' && !known.has(path)),
    ...(kernel.image === undefined ? [] : [kernel.image]),
  ];
}

async function place(path: string, text: string, sizeBytes?: number): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, text);
  if (sizeBytes !== undefined) await truncate(path, sizeBytes);
}

function sysfsOf(disk: Disk): [string, string][] {
  const directory = `sys/block/${disk.name}`;
  const attributes: [string, string | number | undefined][] = [
    ['size', disk.sizeBytes / 512],
    ['dev', disk.device],
    ['ro', 0],
    ['removable', 0],
    ['queue/logical_block_size', disk.logicalSectorSize],
    ['device/serial', disk.serial],
    ['device/cid', disk.wwid],
    ...disk.partitions.flatMap(({ name, device, number, startByte, sizeBytes }): [string, string | number][] => [
      [`${name}/partition`, number],
      [`${name}/dev`, device],
      [`${name}/start`, startByte / 512],
      [`${name}/size`, sizeBytes / 512],
    ]),
  ];
  return attributes.flatMap(([name, value]) => (value === undefined ? [] : [[`${directory}/${name}`, `${value}\n`]]));
}

/** The disk as a sparse file, with its partition table and the superblocks of its file systems. */
async function makeDisk(path: string, disk: Disk): Promise<void> {
  await writeFile(path, '');
  await truncate(path, disk.sizeBytes);
  const lines = disk.partitions.map(
    ({ startByte, sizeBytes, type }) => `start=${startByte / 512},size=${sizeBytes / 512},type=${type}`,
  );
  await execa('sfdisk', ['-q', path], {
    input: ['label: dos', `label-id: 0x${disk.table?.id}`, ...lines, ''].join('\n'),
  });
  for (const { startByte, sizeBytes, fileSystem } of disk.partitions) {
    if (fileSystem?.type === 'vfat') {
      const id = fileSystem.uuid?.replace('-', '') ?? '';
      const label = fileSystem.label ?? '';
      await execa('mkfs.vfat', [
        '-F',
        '16',
        '-i',
        id,
        '-n',
        label,
        '--offset',
        `${startByte / 512}`,
        path,
        `${sizeBytes / 1024}`,
      ]);
    } else if (fileSystem?.type === 'ext4') {
      const identity = ['-U', fileSystem.uuid ?? '', '-L', fileSystem.label ?? ''];
      await execa('mkfs.ext4', ['-q', '-F', ...identity, '-E', `offset=${startByte}`, path, `${sizeBytes / 1024}k`]);
    }
  }
}
