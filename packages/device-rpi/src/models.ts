// The Raspberry Pi boards that can be migrated, as data.
// Model and compatible strings: Linux arch/arm{,64}/boot/dts/broadcom; board types: bits 4-11 of the revision code,
// raspberrypi/documentation, raspberry-pi/revision-codes.adoc; filters: config_txt/conditional.adoc; device types:
// balena-io/contracts. Where no emulator has the board, `emulatedBy` is "nothing" and the support table says so.

export interface PiModel {
  readonly name: string;
  /** /proc/device-tree/model without its revision. */
  readonly deviceTreeModel: RegExp;
  /** First entry of /proc/device-tree/compatible. */
  readonly compatible: string;
  /** Type field of new-style revision codes, as `[board-type=]` compares it. */
  readonly boardTypes: readonly number[];
  /** Names of `[…]` sections that apply to it. */
  readonly filters: readonly string[];
  /** balenaOS device types that run on it. */
  readonly deviceTypes: readonly string[];
  /** Kernel files the firmware looks for where config.txt names none, in order. */
  readonly kernels: { readonly arm: readonly string[]; readonly aarch64: readonly string[] };
  /** Device trees the firmware looks for where config.txt names none, in order. */
  readonly deviceTrees: readonly string[];
  /** Media that the board can start from, the first being where its system usually lies. */
  readonly startsFrom: readonly ('sd' | 'emmc' | 'usb' | 'nvme')[];
  /** Its whole firmware lies in the EEPROM, which does not follow `include` for certain (only start.elf is documented to). */
  readonly mayIgnoreInclude?: true;
  /** Where the first loader lies: on the card beside config.txt, or in an EEPROM of the board. */
  readonly loader: 'card' | 'eeprom';
  /** The emulated machine that stands for it; only the firmware model of the tests knows the others. */
  readonly emulatedBy: 'raspi2b' | 'raspi3b' | 'nothing';
}

const arm7 = { arm: ['kernel7.img'], aarch64: ['kernel8.img'] } as const;
const arm7l = { arm: ['kernel7l.img'], aarch64: ['kernel8.img'] } as const;

export const piModels: readonly PiModel[] = [
  {
    name: 'raspberry-pi-2',
    deviceTreeModel: /^Raspberry Pi 2 Model B(?! Plus)/,
    compatible: 'raspberrypi,2-model-b',
    boardTypes: [0x04],
    filters: ['pi2'],
    deviceTypes: ['raspberry-pi2'],
    kernels: arm7,
    deviceTrees: ['bcm2709-rpi-2-b.dtb', 'bcm2710-rpi-2-b.dtb'],
    startsFrom: ['sd'],
    loader: 'card',
    emulatedBy: 'raspi2b',
  },
  {
    name: 'raspberry-pi-3',
    deviceTreeModel: /^Raspberry Pi 3 Model B(?! Plus)/,
    compatible: 'raspberrypi,3-model-b',
    boardTypes: [0x08],
    filters: ['pi3'],
    deviceTypes: ['raspberrypi3', 'raspberrypi3-64'],
    kernels: arm7,
    deviceTrees: ['bcm2710-rpi-3-b.dtb'],
    startsFrom: ['sd', 'usb'],
    loader: 'card',
    emulatedBy: 'raspi3b',
  },
  {
    name: 'raspberry-pi-3-plus',
    deviceTreeModel: /^Raspberry Pi 3 Model [AB] Plus/,
    compatible: 'raspberrypi,3-model-b-plus',
    boardTypes: [0x0d, 0x0e],
    filters: ['pi3', 'pi3+'],
    deviceTypes: ['raspberrypi3', 'raspberrypi3-64'],
    kernels: arm7,
    deviceTrees: ['bcm2710-rpi-3-b-plus.dtb', 'bcm2710-rpi-3-b.dtb'],
    startsFrom: ['sd', 'usb'],
    loader: 'card',
    emulatedBy: 'nothing',
  },
  {
    name: 'raspberry-pi-cm3',
    deviceTreeModel: /^Raspberry Pi Compute Module 3/,
    compatible: 'raspberrypi,3-compute-module',
    boardTypes: [0x0a, 0x10],
    filters: ['pi3', 'cm3', 'cm3+'],
    deviceTypes: ['fincm3', 'raspberrypi3', 'raspberrypi3-64'],
    kernels: arm7,
    deviceTrees: ['bcm2710-rpi-cm3.dtb'],
    startsFrom: ['emmc', 'sd', 'usb'],
    loader: 'card',
    emulatedBy: 'nothing',
  },
  {
    name: 'raspberry-pi-zero-2-w',
    deviceTreeModel: /^Raspberry Pi Zero 2/,
    compatible: 'raspberrypi,model-zero-2-w',
    boardTypes: [0x12],
    filters: ['pi02'],
    deviceTypes: ['raspberrypi0-2w-64', 'raspberrypi3', 'raspberrypi3-64'],
    kernels: arm7,
    deviceTrees: ['bcm2710-rpi-zero-2-w.dtb', 'bcm2710-rpi-zero-2.dtb'],
    startsFrom: ['sd'],
    loader: 'card',
    emulatedBy: 'nothing',
  },
  {
    name: 'raspberry-pi-4',
    deviceTreeModel: /^Raspberry Pi 4 Model B/,
    compatible: 'raspberrypi,4-model-b',
    boardTypes: [0x11],
    filters: ['pi4'],
    deviceTypes: ['raspberrypi4-64'],
    kernels: arm7l,
    deviceTrees: ['bcm2711-rpi-4-b.dtb'],
    startsFrom: ['sd', 'usb'],
    loader: 'eeprom',
    emulatedBy: 'nothing',
  },
  {
    name: 'raspberry-pi-400',
    deviceTreeModel: /^Raspberry Pi 400/,
    compatible: 'raspberrypi,400',
    boardTypes: [0x13],
    filters: ['pi4', 'pi400'],
    deviceTypes: ['raspberrypi400-64', 'raspberrypi4-64'],
    kernels: arm7l,
    deviceTrees: ['bcm2711-rpi-400.dtb'],
    startsFrom: ['sd', 'usb'],
    loader: 'eeprom',
    emulatedBy: 'nothing',
  },
  {
    name: 'raspberry-pi-cm4',
    deviceTreeModel: /^Raspberry Pi Compute Module 4(?!S)/,
    compatible: 'raspberrypi,4-compute-module',
    boardTypes: [0x14],
    filters: ['pi4', 'cm4'],
    deviceTypes: ['raspberrypicm4-ioboard', 'raspberrypi4-64'],
    kernels: arm7l,
    deviceTrees: ['bcm2711-rpi-cm4.dtb'],
    startsFrom: ['emmc', 'sd', 'usb', 'nvme'],
    loader: 'eeprom',
    emulatedBy: 'nothing',
  },
  {
    name: 'raspberry-pi-5',
    deviceTreeModel: /^Raspberry Pi 5 Model B/,
    compatible: 'raspberrypi,5-model-b',
    boardTypes: [0x17],
    filters: ['pi5'],
    deviceTypes: ['raspberrypi5'],
    kernels: { arm: [], aarch64: ['kernel_2712.img', 'kernel8.img'] },
    deviceTrees: ['bcm2712-rpi-5-b.dtb', 'bcm2712d0-rpi-5-b.dtb'],
    startsFrom: ['sd', 'usb', 'nvme'],
    mayIgnoreInclude: true,
    loader: 'eeprom',
    emulatedBy: 'nothing',
  },
];

/** The row of a machine by what its device tree calls it. */
export function modelNamed(deviceTreeModel: string | undefined): PiModel | undefined {
  return piModels.find((row) => row.deviceTreeModel.test(deviceTreeModel ?? ''));
}
