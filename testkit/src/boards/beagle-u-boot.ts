// A model of U-Boot on a Beagle board: the environment that its images bring, and the commands which that uses. Written from the
// environments of the boards and the sources of U-Boot, without the parsers of device-beagle, so that the two check each other.
import {
  type BeagleState,
  createBoard,
  importText,
  runVariable,
  Started,
  type UbootOutcome,
} from './u-boot-commands.ts';

/** Ages of U-Boot that differ in what matters here. */
export type UbootAge = '2013' | '2016' | '2019';

export interface UbootRun {
  readonly outcome: UbootOutcome;
  /** What the media hold after it. */
  readonly state: BeagleState;
}

const common = `
loadaddr=0x82000000
fdtaddr=0x88000000
rdaddr=0x88080000
console=ttyO0,115200n8
fdtfile=FDTFILE
mmcrootfstype=ext4 rootwait
bootenv=uEnv.txt
importbootenv=env import -t \${loadaddr} \${filesize}
failumsboot=ums 0 mmc 1
`;

/** EEWIKI_BOOT and EEWIKI_UNAME_BOOT of the boards' own images, in the order in which they look. */
const named = `
devtype=mmc
loadbootenv=load \${devtype} \${bootpart} \${loadaddr} \${bootenv}
loadimage=load \${devtype} \${bootpart} \${loadaddr} \${bootdir}/\${bootfile}
loadrd=load \${devtype} \${bootpart} \${rdaddr} \${bootdir}/\${rdfile}; setenv rdsize \${filesize}
loadfdt=load \${devtype} \${bootpart} \${fdtaddr} \${fdtdir}/\${fdtfile}
args_mmc_old=setenv bootargs console=\${console} \${optargs} root=\${oldroot} ro rootfstype=\${mmcrootfstype} \${cmdline}
args_mmc_uuid=setenv bootargs console=\${console} \${optargs} root=UUID=\${uuid} ro rootfstype=\${mmcrootfstype} \${cmdline}
boot=if \${devtype} dev \${mmcdev}; then setenv bootpart \${mmcdev}:1; if test -e \${devtype} \${bootpart} /uEnv.txt; then if run loadbootenv; then run importbootenv; fi; if test -n \${uenvcmd}; then run uenvcmd; fi; fi; for i in 1 2 3 4 5 6 7; do setenv mmcpart \${i}; setenv bootpart \${mmcdev}:\${mmcpart}; if test -e \${devtype} \${bootpart} /boot/uEnv.txt; then load \${devtype} \${bootpart} \${loadaddr} /boot/uEnv.txt; env import -t \${loadaddr} \${filesize}; if test -n \${dtb}; then setenv fdtfile \${dtb}; fi; if test -n \${uname_r}; then setenv oldroot /dev/mmcblk\${mmcdev}p\${mmcpart}; run uname_boot; fi; fi; done; fi
find_fdt=setenv fdtfound; for d in /boot/dtbs/\${uname_r} /usr/lib/linux-image-\${uname_r} /lib/firmware/\${uname_r}/device-tree /boot/dtb-\${uname_r} /boot/dtbs /boot/dtb /boot; do if test -z "\${fdtfound}"; then if test -e \${devtype} \${bootpart} \${d}/\${fdtfile}; then setenv fdtdir \${d}; setenv fdtfound 1; fi; fi; done
uname_boot=setenv bootdir /boot; setenv bootfile vmlinuz-\${uname_r}; if test -e \${devtype} \${bootpart} \${bootdir}/\${bootfile}; then run loadimage; run find_fdt; if test -n "\${fdtfound}"; then run loadfdt; else run failumsboot; fi; if test -n "\${enable_uboot_overlays}"; then setenv overlaid 1; fi; setenv rdfile initrd.img-\${uname_r}; if test -e \${devtype} \${bootpart} \${bootdir}/\${rdfile}; then run loadrd; run args; bootz \${loadaddr} \${rdaddr}:\${rdsize} \${fdtaddr}; else run args; bootz \${loadaddr} - \${fdtaddr}; fi; fi
args=if test -n \${uuid}; then run args_mmc_uuid; else run args_mmc_old; fi
`;

const environments: Readonly<Record<UbootAge, string>> = {
  // am335x_evm.h of that time, where uEnv.txt is all there is: no devtype, no number of a partition.
  2013: `${common}
mmcdev=0
mmcpart=1
bootpart=0:2
loadbootenv=fatload mmc \${mmcdev} \${loadaddr} \${bootenv}
try=mmc dev \${mmcdev}; if mmc rescan; then if run loadbootenv; then run importbootenv; fi; if test -n $uenvcmd; then run uenvcmd; fi; fi
bootcmd=run try; setenv mmcdev 1; setenv bootpart 1:2; run try
`,
  2016: `${common}${named}
bootcmd=setenv mmcdev 0; run boot; setenv mmcdev 1; run boot
`,
  2019: `${common}${named}
scriptaddr=0x80000000
boot_prefixes=/ /boot/
boot_scripts=boot.scr.uimg boot.scr
scan_extlinux=if test -e \${devtype} \${devnum}:\${distro_bootpart} \${prefix}extlinux/extlinux.conf; then sysboot \${devtype} \${devnum}:\${distro_bootpart} any \${scriptaddr} \${prefix}extlinux/extlinux.conf; fi
scan_scripts=for script in \${boot_scripts}; do if test -e \${devtype} \${devnum}:\${distro_bootpart} \${prefix}\${script}; then load \${devtype} \${devnum}:\${distro_bootpart} \${scriptaddr} \${prefix}\${script}; source \${scriptaddr}; fi; done
scan=setenv devnum \${mmcdev}; part list \${devtype} \${devnum} -bootable devplist; env exists devplist || setenv devplist 1; for distro_bootpart in \${devplist}; do for prefix in \${boot_prefixes}; do run scan_extlinux; run scan_scripts; done; done; setenv devplist
bootcmd=setenv mmcdev 0; if mmc dev 0; then run scan; fi; run boot; setenv mmcdev 1; if mmc dev 1; then run scan; fi; run boot
`,
};

/** Runs a start of the board from reset; writes that U-Boot makes are in the state that it gives back. */
export function runUboot(state: BeagleState, { age, deviceTree }: { age: UbootAge; deviceTree: string }): UbootRun {
  const board = createBoard(state);
  importText(board, environments[age].replace('FDTFILE', deviceTree));
  try {
    runVariable(board, 'bootcmd');
  } catch (thrown) {
    if (thrown instanceof Started) return { outcome: thrown.outcome, state: board };
    throw thrown;
  }
  return { outcome: { kind: 'stuck', why: 'nothing to boot' }, state: board };
}
