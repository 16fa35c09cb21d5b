// A complete, sound PC with everything it needs for a migration; tests change one thing of it at a time.
import type { Assets, Config, Disk, Facts, ImageFacts } from '@migrate/core';

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

/** An image for it, as proveImage would describe it. */
export function pcImage(changes: Partial<ImageFacts> = {}): ImageFacts {
  const labels = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'];
  return {
    path: '/root/image.img.gz',
    compression: 'gzip',
    fileBytes: 100 * mebibyte,
    fileSha256: 'a'.repeat(64),
    sizeBytes: 300 * mebibyte,
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
    chunkBytes: 4 * mebibyte,
    chunkSha256: Array.from({ length: 53 }, () => 'c'.repeat(64)),
    table: {
      kind: 'gpt',
      id: '7a7a7a7a-0000-4000-8000-000000000001',
      partitions: labels.map((name, index) => ({
        number: index + 1,
        startByte: (index * 40 + 4) * mebibyte,
        sizeBytes: 40 * mebibyte,
        type: index === 0 ? 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B' : '0FC63DAF-8483-4772-8E79-3D69D8477DE4',
        uuid: `7a7a7a7a-0000-4000-8000-00000000001${index}`,
        name,
        bootable: false,
      })),
    },
    kind: 'balena-raw',
    labels: Object.fromEntries(labels.map((label, index) => [label, index])),
    deviceType: 'genericx86-64-ext',
    version: '5.1.20',
    ...changes,
  };
}

/** A complete configuration for it. */
export function pcConfig(change: (config: Config) => Config = (config) => config): Config {
  return change({
    migrate: {
      mode: 'pretend',
      workDir: '.',
      allWifis: false,
      wifis: [],
      wired: true,
      proxy: true,
      rebootSeconds: 5,
      log: { level: 'info', console: true },
      deviceTree: [],
      backup: [],
      identity: { hostname: true },
      networkFiles: [],
      requireNetworkConfig: false,
      gzipInternal: true,
      tarInternal: true,
      kernelOptions: [],
      staging: 'auto',
      delaySeconds: 0,
      watchdogs: [],
      failMode: 'reboot',
    },
    balena: {
      image: { kind: 'dd', file: { path: '/root/image.img.gz' }, writesUnused: false },
      config: { path: 'config.json' },
      api: { check: true, checkKey: false, reportProgress: false },
      checkVpn: true,
      checkTimeoutSeconds: 20,
    },
    debug: { noFlash: false },
  });
}

/** All files for it, sound. */
export function pcAssets(changes: Partial<Assets> = {}): Assets {
  return {
    image: pcImage(),
    configJson: { path: '/root/config.json', sizeBytes: 400, sha256: 'b'.repeat(64), deviceType: 'genericx86-64-ext' },
    connections: [],
    runtime: {
      directory: '/opt/migrate',
      files: [
        { path: 'runtime/node', sizeBytes: 86 * mebibyte, isExecutable: true },
        { path: 'runtime/lib/libc.so.6', sizeBytes: 2 * mebibyte, isExecutable: false },
        { path: 'runtime/busybox', sizeBytes: 2 * mebibyte, isExecutable: true },
        { path: 'app/stage2.js', sizeBytes: mebibyte, isExecutable: false },
        { path: 'app/init', sizeBytes: 8192, isExecutable: true },
      ],
    },
    findings: [],
    ...changes,
  };
}
