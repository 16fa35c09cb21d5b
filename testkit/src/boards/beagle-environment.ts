// What U-Boot does on a Beagle, as far as a migration can meet it: the environment of the vendor's U-Boot (Debian's images for
// these boards), of balenaOS' U-Boot, and the boot ROM, all for the real U-Boot of an emulated machine.
//
// Differences to a board: block devices are "virtio" where a board says "mmc", and the console is ttyAMA0.

export type Board = 'beaglebone-black' | 'beagleboard-xm';

/** Environment variables of U-Boot. A value is a script or a word; scripts of several commands are lists. */
export type Environment = Readonly<Record<string, string | readonly string[]>>;

/** U-Boot's text form, as `env import -t` reads it. */
export function environmentText(environment: Environment): string {
  const line = ([name, value]: readonly [string, string | readonly string[]]): string =>
    `${name}=${typeof value === 'string' ? value : value.join('; ')}\n`;
  return Object.entries(environment).map(line).join('');
}

/** Where the boot ROM of AM335x looks for the first stage, MLO, in raw mode; Debian's images use the second (AM335x TRM 26.1.8.5). */
export const rawLoaderOffset = 0x20000;
/** Where that MLO looks for u-boot.img (CONFIG_SYS_MMCSD_RAW_MODE_U_BOOT_SECTOR 0x300). */
export const rawUbootOffset = 0x60000;
/** Size of a legacy image header, behind which the environment lies in this model's u-boot.img (include/image.h). */
export const imageHeaderBytes = 64;
/** More than any u-boot.img of this model. */
export const ubootRegionBytes = 0x10000;

const romAddress = 0x90000000;
const hex = (value: number): string => `0x${value.toString(16)}`;

/**
 * The boot ROM and MLO: on each medium in turn, raw mode first, then MLO on an active FAT partition. What they load is the
 * environment that this medium's u-boot.img stands for.
 */
export function romEnvironment(media: readonly number[]): Environment {
  const start = [`env import -t ${hex(romAddress + imageHeaderBytes)} ${hex(ubootRegionBytes)}`, 'run bootcmd'].join(
    '; ',
  );
  const clear = `mw.b ${hex(romAddress)} 0 ${hex(ubootRegionBytes * 2)}`;
  const sector = (bytes: number): string => hex(bytes / 512);
  // "CHSETTINGS", the name in the table of contents that an MLO in raw mode begins with.
  const isLoader = `itest.l *${hex(romAddress + 0x14)} == 0x45534843`;
  return {
    // Minus two: keys do not stop it.
    bootdelay: '-2',
    bootcmd: [
      'virtio scan',
      `for medium in ${media.join(' ')}; do run rom_raw; run rom_fat; done`,
      'echo ROM: no medium starts',
    ],
    rom_raw: [
      clear,
      `if virtio dev \${medium}; then virtio read ${hex(romAddress)} ${sector(rawLoaderOffset)} 1`,
      `if ${isLoader}; then echo ROM: raw loader of \${medium}`,
      `virtio read ${hex(romAddress)} ${sector(rawUbootOffset)} ${sector(ubootRegionBytes)}`,
      `${start}; fi; fi`,
    ],
    rom_fat: [
      clear,
      `if test -e virtio \${medium}:1 MLO; then echo ROM: MLO of \${medium}`,
      `if fatload virtio \${medium}:1 ${hex(romAddress)} u-boot.img; then ${start}; fi; fi`,
    ],
  };
}

const fdtFiles: Record<Board, string> = {
  'beaglebone-black': 'am335x-boneblack.dtb',
  'beagleboard-xm': 'omap3-beagle-xm.dtb',
};

/** Common to the vendor's U-Boots for AM335x and OMAP3 boards (include/environment/ti/mmc.h and Debian's patches). */
const addresses: Environment = {
  devtype: 'virtio',
  loadaddr: '0x82000000',
  fdtaddr: '0x88000000',
  rdaddr: '0x88080000',
  scriptaddr: '0x80000000',
  // The same under the names that sysboot knows.
  kernel_addr_r: '0x82000000',
  fdt_addr_r: '0x88000000',
  ramdisk_addr_r: '0x88080000',
  pxefile_addr_r: '0x80100000',
  // Of the emulated machine: where a board's memory begins, and no moving of the device tree.
  bootm_low: '0x80000000',
  bootm_size: '0x10000000',
  fdt_high: '0xffffffff',
};

/** What comes before that flow on each medium (include/config_distro_bootcmd.h). */
const distroBoot: Environment = {
  boot_prefixes: '/ /boot/',
  boot_scripts: 'boot.scr.uimg boot.scr',
  scan_dev_for_boot_part: [
    'if ${devtype} dev ${devnum}; then part list ${devtype} ${devnum} -bootable devplist',
    'env exists devplist || setenv devplist 1',
    'for distro_bootpart in ${devplist}; do if fstype ${devtype} ${devnum}:${distro_bootpart} bootfstype; then ' +
      'for prefix in ${boot_prefixes}; do run scan_dev_for_extlinux; run scan_dev_for_scripts; done; fi; done',
    'setenv devplist; fi',
  ],
  scan_dev_for_extlinux: [
    'if test -e ${devtype} ${devnum}:${distro_bootpart} ${prefix}extlinux/extlinux.conf; then ' +
      'echo Found ${prefix}extlinux/extlinux.conf',
    'sysboot ${devtype} ${devnum}:${distro_bootpart} any ${scriptaddr} ${prefix}extlinux/extlinux.conf',
    'echo SCRIPT FAILED: continuing...; fi',
  ],
  scan_dev_for_scripts: [
    'for script in ${boot_scripts}; do if test -e ${devtype} ${devnum}:${distro_bootpart} ${prefix}${script}; then ' +
      'echo Found U-Boot script ${prefix}${script}',
    'load ${devtype} ${devnum}:${distro_bootpart} ${scriptaddr} ${prefix}${script}; source ${scriptaddr}',
    'echo SCRIPT FAILED: continuing...; fi; done',
  ],
};

/**
 * The flow of Debian's images: /uEnv.txt of the first partition with its `uenvcmd`, then /boot/uEnv.txt of partitions 1 to 7
 * with `uname_r`, on the SD card before the eMMC, whichever of them U-Boot came from.
 */
export function vendorEnvironment(board: Board): Environment {
  const devices = board === 'beaglebone-black' ? ['0', '1'] : ['0'];
  return {
    ...addresses,
    board_name: board === 'beaglebone-black' ? 'A335BNLT' : 'beagle_xm',
    console: 'ttyAMA0,115200n8',
    optargs: '',
    mmcrootfstype: 'ext4 rootwait',
    bootenv: 'uEnv.txt',
    bootdir: '/boot',
    bootfile: 'zImage',
    findfdt: `setenv fdtfile ${fdtFiles[board]}`,
    loadbootenv: 'load ${devtype} ${bootpart} ${loadaddr} ${bootenv}',
    importbootenv: 'echo Importing environment from ${devtype} ...; env import -t ${loadaddr} ${filesize}',
    loadimage: 'load ${devtype} ${bootpart} ${loadaddr} ${bootdir}/${bootfile}',
    loadrd: 'load ${devtype} ${bootpart} ${rdaddr} ${bootdir}/${rdfile}; setenv rdsize ${filesize}',
    loadfdt: 'echo loading ${fdtdir}/${fdtfile} ...; load ${devtype} ${bootpart} ${fdtaddr} ${fdtdir}/${fdtfile}',
    mmcargs: 'setenv bootargs console=${console} ${optargs} root=${oldroot} ro rootfstype=${mmcrootfstype} ${cmdline}',
    uuidargs:
      'setenv bootargs console=${console} ${optargs} root=UUID=${uuid} ro rootfstype=${mmcrootfstype} ${cmdline}',
    // A board would stay here as a USB disk until its power is cut.
    failumsboot: 'echo FAILSAFE: ready as a USB disk; while true; do sleep 60; done',
    boot: [
      'if ${devtype} dev ${mmcdev}; then setenv bootpart ${mmcdev}:1',
      'echo Checking for: /uEnv.txt ...',
      'if test -e ${devtype} ${bootpart} /uEnv.txt; then if run loadbootenv; then echo Loaded environment from /uEnv.txt',
      'run importbootenv; fi',
      'echo Checking if uenvcmd is set ...',
      'if test -n ${uenvcmd}; then echo Running uenvcmd ...; run uenvcmd; fi; fi',
      'echo Checking for: /boot/uEnv.txt ...',
      'for i in 1 2 3 4 5 6 7; do setenv mmcpart ${i}; setenv bootpart ${mmcdev}:${mmcpart}',
      'if test -e ${devtype} ${bootpart} /boot/uEnv.txt; then load ${devtype} ${bootpart} ${loadaddr} /boot/uEnv.txt',
      'env import -t ${loadaddr} ${filesize}; echo Loaded environment from /boot/uEnv.txt',
      'if test -n ${dtb}; then setenv fdtfile ${dtb}; echo Using: dtb=${fdtfile} ...; fi',
      'if test -n ${uname_r}; then setenv oldroot /dev/mmcblk${mmcdev}p${mmcpart}; run uname_boot; fi; fi; done; fi',
    ],
    finddtb: [
      'setenv fdtdir',
      'for d in /boot/dtbs/${uname_r} /usr/lib/linux-image-${uname_r} /lib/firmware/${uname_r}/device-tree ' +
        '/boot/dtb-${uname_r} /boot/dtbs /boot/dtb /boot; do if test -z "${fdtdir}"; then ' +
        'if test -e ${devtype} ${bootpart} ${d}/${fdtfile}; then setenv fdtdir ${d}; fi; fi; done',
    ],
    uname_boot: [
      'setenv bootdir /boot; setenv bootfile vmlinuz-${uname_r}',
      'if test -e ${devtype} ${bootpart} ${bootdir}/${bootfile}; then echo loading ${bootdir}/${bootfile} ...; run loadimage',
      'run finddtb; if test -n "${fdtdir}"; then run loadfdt; else echo unable to find [dtb=${fdtfile}]; run failumsboot; fi',
      'setenv rdfile initrd.img-${uname_r}',
      'if test -e ${devtype} ${bootpart} ${bootdir}/${rdfile}; then echo loading ${bootdir}/${rdfile} ...; run loadrd',
      'if test -n ${uuid}; then run uuidargs; else run mmcargs; fi',
      'echo debug: [${bootargs}] ...; bootz ${loadaddr} ${rdaddr}:${rdsize} ${fdtaddr}',
      'else run mmcargs; bootz ${loadaddr} - ${fdtaddr}; fi; fi',
    ],
    ...distroBoot,
    bootcmd: [
      'run findfdt',
      `for n in ${devices.join(' ')}; do setenv devnum \${n}; run scan_dev_for_boot_part; setenv mmcdev \${n}; run boot; done`,
      'echo U-BOOT: no system starts',
    ],
  };
}

/** What the emulated balenaOS starts with, from its own boot partition. */
export function balenaEnvironment(commandLine: string): Environment {
  return {
    ...addresses,
    bootargs: commandLine,
    bootcmd: [
      'echo BALENA-U-BOOT on ${medium}',
      'fatload virtio ${medium}:1 ${loadaddr} zImage',
      'fatload virtio ${medium}:1 ${fdtaddr} board.dtb',
      'fatload virtio ${medium}:1 ${rdaddr} initrd; bootz ${loadaddr} ${rdaddr}:${filesize} ${fdtaddr}',
      'echo BALENA-U-BOOT: it does not start',
    ],
  };
}
