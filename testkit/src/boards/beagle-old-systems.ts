// The systems of emulated Beagles that are to be migrated, laid out as Debian's images for these boards are. The kernel is
// Debian's own, with an initramfs that knows the emulated SD host.
import { copyFile, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { foreignRoot, releases } from '../foreign-root.ts';
import { serialAgent, serialAgentPath } from '../serial-shell.ts';
import { makeInitrd } from '../small-initrd.ts';
import type { Board } from './beagle-environment.ts';
import { deviceTree } from './beagle-firmware.ts';
import { oldSystemUp, systemdFiles, systemdLinks } from './old-system-units.ts';

/** eMMC with one ext4 partition, as on a BeagleBone; SD card with FAT and ext4, as on a BeagleBoard-xM. */
export type Layout = 'emmc' | 'sd';

export const boardOf: Readonly<Record<Layout, Board>> = { emmc: 'beaglebone-black', sd: 'beagleboard-xm' };

export const rootUuid = '5e0f3c9a-1c7e-4d2b-9f60-0a1b2c3d4e5f';

export interface KernelTree {
  readonly root: string;
  readonly release: string;
}

/** Debian for 32-bit ARM with its kernel, but without a driver for the disks that only U-Boot is to see. */
export async function beagleRoot(): Promise<KernelTree> {
  const root = await foreignRoot({
    architecture: 'armhf',
    packages: ['linux-image-armmp', 'busybox-static', 'kmod', 'systemd-sysv', 'udev'],
    moduleDirectories: ['arch', 'crypto', 'fs', 'lib', 'drivers/block/loop.ko', 'drivers/char', 'drivers/mmc'],
  });
  const [release = ''] = await releases(root);
  return { root, release };
}

/** QEMU 7.2 has SD cards only, so Linux is shown another type for what is soldered on a board. */
const startInitrd = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for module in $($b cat /modules.order); do $b insmod /modules/$module; done
root=$($b sed 's/.*root=\\([^ ]*\\).*/\\1/' /proc/cmdline)
until device=$($b findfs "$root" 2>/dev/null) || [ -b "\${device:=$root}" ]; do $b sleep 0.1; done
$b mkdir /new /types
$b mount -t tmpfs types /types
echo MMC >/types/mmc
[ ! -d /sys/class/block/mmcblk1 ] || $b mount --bind /types/mmc /sys/class/block/mmcblk1/device/type
$b mount -t ext4 -o ro "$device" /new
for place in proc sys dev; do $b mount --move /$place /new/$place; done
exec $b switch_root /new /sbin/init
`;

const startUp = `#!/bin/sh
mount -t tmpfs -o mode=0755 tmpfs /run
mount -o remount,rw,noatime /
mkdir -p /run/lock
mount -t vfat -o umask=0022 /dev/mmcblk0p1 /boot/uboot
hostname -F /etc/hostname
printf '\\n${oldSystemUp}\\n' >/dev/console
`;

interface OldSystem {
  readonly files: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, string>>;
}

/** systemd on the BeagleBone; the BeagleBoard has an older, simpler init, which is up sooner. */
const systems: Readonly<Record<Layout, OldSystem>> = {
  emmc: {
    files: {
      '/etc/fstab': `UUID=${rootUuid} / ext4 noatime,errors=remount-ro 0 1\n`,
      ...systemdFiles,
    },
    links: systemdLinks,
  },
  sd: {
    files: {
      '/etc/fstab': '/dev/mmcblk0p1 /boot/uboot vfat defaults 0 0\n/dev/mmcblk0p2 / ext4 noatime 0 1\n',
      '/etc/inittab': `::sysinit:/etc/rcS\nttyAMA0::respawn:${serialAgentPath} /dev/ttyAMA0\n::shutdown:/bin/umount -a -r\n`,
      '/etc/rcS': startUp,
      '/boot/uboot/README': 'the boot partition is mounted here\n',
    },
    links: { '/usr/sbin/init': '../bin/busybox', '/usr/sbin/reboot': '../bin/busybox' },
  },
};

/** Makes a tree of Debian the old system of a layout, but for what lies on a partition of its own. */
export async function configure(tree: string, { layout, release }: { layout: Layout; release: string }): Promise<void> {
  const board = boardOf[layout];
  const { files, links } = systems[layout];
  const all: Record<string, string> = {
    '/etc/hostname': board === 'beaglebone-black' ? 'beaglebone\n' : 'beagleboard\n',
    [serialAgentPath]: serialAgent,
    ...(layout === 'sd'
      ? {}
      : {
          '/boot/uEnv.txt': [
            '#Docs: http://elinux.org/Beagleboard:U-boot_partitioning_layout_2.0',
            '',
            `uname_r=${release}`,
            `uuid=${rootUuid}`,
            '#dtb=',
            'cmdline=coherent_pool=1M net.ifnames=0 quiet',
            '',
            '#enable_uboot_overlays=1',
            '',
          ].join('\n'),
        }),
    ...files,
  };
  for (const [path, text] of Object.entries(all)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), text, { mode: text.startsWith('#!') ? 0o755 : 0o644 });
  }
  for (const [path, target] of Object.entries(links)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await rm(join(tree, path), { force: true });
    await symlink(target, join(tree, path));
  }
  const name = board === 'beaglebone-black' ? 'am335x-boneblack.dtb' : 'omap3-beagle-xm.dtb';
  // The kernel package's own are for the real boards.
  await rm(join(tree, 'usr/lib', `linux-image-${release}`), { recursive: true });
  for (const place of [`boot/dtbs/${release}`, `usr/lib/linux-image-${release}`]) {
    await mkdir(join(tree, place), { recursive: true });
    await copyFile(await deviceTree(board), join(tree, place, name));
  }
  await makeInitrd(join(tree, `boot/initrd.img-${release}`), {
    busybox: join(tree, 'bin/busybox'),
    root: tree,
    release,
    modules: ['sdhci-pci', 'ext4', 'crc32c'],
    init: startInitrd,
  });
}

/** As the cards of 2013 have it: the system starts by a `uenvcmd` of its own, from the second partition. */
export function cardEnvironment(release: string): string {
  return [
    '# Variables for U-Boot on this board.',
    'optargs=consoleblank=0',
    `kernel=/boot/vmlinuz-${release}`,
    `initrd=/boot/initrd.img-${release}`,
    `tree=/boot/dtbs/${release}/omap3-beagle-xm.dtb`,
    'getkernel=load ${devtype} ${mmcdev}:2 ${loadaddr} ${kernel}',
    'gettree=load ${devtype} ${mmcdev}:2 ${fdtaddr} ${tree}',
    'getinitrd=load ${devtype} ${mmcdev}:2 ${rdaddr} ${initrd}; setenv rdsize ${filesize}',
    'cardargs=setenv bootargs console=${console} ${optargs} root=/dev/mmcblk0p2 ro rootwait quiet',
    'start=run getkernel gettree getinitrd cardargs; bootz ${loadaddr} ${rdaddr}:${rdsize} ${fdtaddr}',
    '#-----------------------------------------------------------------------------------------------',
    '# uenvcmd is run by U-Boot after this file was read. To start another system, change what it runs.',
    '# Hold the USER button while the board is switched on to read user.txt in place of this file.',
    '# video: add the mode of your display to optargs, for instance video=DVI-D-1:1280x720@60',
    '# console: a serial console on the expansion header needs another ttyO and the matching getty',
    '# overclocking: mpurate is not taken by kernels after 3.2, so it is not set here any more',
    '# cameras: the board has one socket, whose driver is loaded when camera is set to lbcm3m1',
    '# more: https://elinux.org/BeagleBoardDebian tells what else can be set here',
    '#-----------------------------------------------------------------------------------------------',
    'uenvcmd=run start',
    '',
  ].join('\n');
}
