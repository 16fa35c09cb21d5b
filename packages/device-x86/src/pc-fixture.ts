// A complete, sound PC with everything it needs for a migration; tests change one thing of it at a time.
import type { Assets, Config, Disk, Facts, ImageFacts } from '@migrate/core';
import { soundAssets, soundConfig, soundImage } from '@migrate/core/testing';

export const grubCfg = `if [ -s $prefix/grubenv ]; then
  set have_grubenv=true
  load_env
fi
if [ "\${next_entry}" ] ; then
   set default="\${next_entry}"
   set next_entry=
   save_env next_entry
   set boot_once=true
else
   set default="0"
fi
menuentry 'Debian GNU/Linux' { linux /boot/vmlinuz root=UUID=x ro quiet }
if [ -f  \${config_directory}/custom.cfg ]; then
  source \${config_directory}/custom.cfg
elif [ -z "\${config_directory}" -a -f  $prefix/custom.cfg ]; then
  source $prefix/custom.cfg
fi
`;
export const emptyGrubenv = '# GRUB Environment Block\n'.padEnd(1024, '#');

const mebibyte = 1024 * 1024;

export const pcDisk: Disk = {
  name: 'sda',
  path: '/dev/sda',
  device: '8:0',
  sizeBytes: 4096 * mebibyte,
  logicalSectorSize: 512,
  isReadOnly: false,
  isRemovable: false,
  serial: 'DISK1',
  table: { kind: 'mbr', id: 'b0b0b0b0' },
  bootCode: Buffer.from('\x00\x00GRUB \x00').toString('base64'),
  holders: [],
  partitions: [
    {
      name: 'sda1',
      path: '/dev/sda1',
      device: '8:1',
      number: 1,
      startByte: mebibyte,
      sizeBytes: 4095 * mebibyte,
      uuid: 'b0b0b0b0-01',
      type: '83',
      fileSystem: { type: 'ext4', uuid: '11111111-2222-3333-4444-555555555555', label: 'root' },
      holders: [],
    },
  ],
};

/** The facts of that PC. */
export function pcFacts(changes: Partial<Facts> = {}): Facts {
  return {
    version: 1,
    userId: 0,
    hostname: 'brownfield',
    os: { id: 'debian', versionId: '12', prettyName: 'Debian GNU/Linux 12 (bookworm)', idLike: [] },
    kernel: {
      release: '6.1.0-50-amd64',
      architecture: 'x86_64',
      commandLine: 'BOOT_IMAGE=/boot/vmlinuz-6.1.0-50-amd64 root=UUID=1111 ro quiet console=tty0 console=ttyS0,115200',
      image: { path: '/boot/vmlinuz-6.1.0-50-amd64', sizeBytes: 8 * mebibyte, release: '6.1.0-50-amd64' },
    },
    userland: 'x86_64',
    memory: { totalBytes: 1000 * mebibyte, availableBytes: 800 * mebibyte },
    firmware: { kind: 'bios' },
    hardware: { vendor: 'QEMU', product: 'Standard PC' },
    disks: [pcDisk],
    mounts: [{ device: '8:1', source: '/dev/sda1', target: '/', fileSystem: 'ext4', root: '/', options: ['rw'] }],
    swaps: [],
    places: [
      {
        path: '/var/lib/balena-migrate',
        existing: '/var/lib',
        rest: 'balena-migrate',
        mountTarget: '/',
        availableBytes: 2000 * mebibyte,
      },
      {
        path: '/root/image.img.gz',
        existing: '/root/image.img.gz',
        rest: '',
        mountTarget: '/',
        availableBytes: 2000 * mebibyte,
      },
      {
        path: '/boot/balena-migrate',
        existing: '/boot',
        rest: 'balena-migrate',
        mountTarget: '/',
        availableBytes: 2000 * mebibyte,
      },
    ],
    bootFiles: [
      { path: '/boot/grub/grub.cfg', sizeBytes: grubCfg.length, mode: 0o600, text: grubCfg },
      { path: '/boot/grub/grubenv', sizeBytes: 1024, mode: 0o600, text: emptyGrubenv },
    ],
    modules: {
      needed: [{ name: 'ext4', path: '/lib/modules/6.1.0-50-amd64/kernel/fs/ext4/ext4.ko', sizeBytes: mebibyte }],
      missing: [],
    },
    inContainer: false,
    ...changes,
  };
}

const deviceType = 'genericx86-64-ext';

/** An image for it, as proveImage would describe it: with a GPT, and only partly in use. */
export function pcImage(changes: Partial<ImageFacts> = {}): ImageFacts {
  // In the order in which proveImage gives them, as the reviewed plans have them.
  const { path, compression, fileBytes, fileSha256, sizeBytes, ...image } = soundImage(deviceType);
  return {
    ...{ path, compression, fileBytes, fileSha256, sizeBytes },
    usedBlocks: {
      ranges: [
        { startByte: 0, endByte: 36 * mebibyte },
        { startByte: 44 * mebibyte, endByte: 70 * mebibyte },
        { startByte: 84 * mebibyte, endByte: 85 * mebibyte },
        { startByte: 124 * mebibyte, endByte: 172 * mebibyte },
        { startByte: 204 * mebibyte, endByte: 300 * mebibyte },
      ],
      wholePartitions: [{ number: 4, why: 'its journal was not played back' }],
    },
    ...image,
    chunkSha256: Array.from({ length: 53 }, () => 'c'.repeat(64)),
    table: {
      kind: 'gpt',
      id: '7a7a7a7a-0000-4000-8000-000000000001',
      partitions: image.table.partitions.map((partition, index) => ({
        ...partition,
        type: index === 0 ? 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B' : '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
        uuid: `7a7a7a7a-0000-4000-8000-00000000001${index}`,
        bootable: false,
      })),
    },
    ...changes,
  };
}

/** A complete configuration for it. */
export function pcConfig(change: (config: Config) => Config = (config) => config): Config {
  return change(soundConfig());
}

/** All files for it, sound. */
export function pcAssets(changes: Partial<Assets> = {}): Assets {
  return { ...soundAssets(deviceType, 86), image: pcImage(), ...changes };
}
