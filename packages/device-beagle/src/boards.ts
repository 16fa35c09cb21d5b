// The Beagle boards that can be migrated, as data.
// Model strings: Linux arch/arm/boot/dts/ti/omap; names in the EEPROM: beagleboard/u-boot, board/ti/am335x/board.c; device types:
// balena-io/contracts. No emulator has an AM335x or OMAP3 board that starts from a card: real U-Boot is tried on another board.

export interface BeagleBoard {
  readonly name: string;
  /** /proc/device-tree/model. */
  readonly deviceTreeModel: RegExp;
  /** Start of what the EEPROM says behind its magic number; absent where the board has none. */
  readonly eepromName?: RegExp;
  readonly deviceTypes: readonly string[];
  /**
   * Device trees that U-Boot takes for it, in order of preference. Those whose names end in -uboot lack the eMMC, which U-Boot
   * adds as an overlay for the old system only.
   */
  readonly deviceTrees: readonly string[];
}

export const beagleBoards: readonly BeagleBoard[] = [
  {
    name: 'beaglebone-black',
    deviceTreeModel: /^TI AM335x BeagleBone Black$/,
    eepromName: /^A335BNLT(?!BBG|BW|GW|BLA)/,
    deviceTypes: ['beaglebone-black'],
    deviceTrees: ['am335x-boneblack.dtb'],
  },
  {
    name: 'beaglebone-black-wireless',
    deviceTreeModel: /^TI AM335x BeagleBone Black Wireless$/,
    eepromName: /^A335BNLTBWA/,
    deviceTypes: ['beaglebone-black'],
    deviceTrees: ['am335x-boneblack-wireless.dtb', 'am335x-boneblack.dtb'],
  },
  {
    name: 'beaglebone-green',
    deviceTreeModel: /^TI AM335x BeagleBone Green$/,
    eepromName: /^A335BNLTBBG/,
    deviceTypes: ['beaglebone-green'],
    deviceTrees: ['am335x-bonegreen.dtb', 'am335x-boneblack.dtb'],
  },
  {
    name: 'beaglebone-green-wireless',
    deviceTreeModel: /^TI AM335x BeagleBone Green Wireless$/,
    eepromName: /^A335BNLTGW1/,
    deviceTypes: ['beaglebone-green-wifi'],
    deviceTrees: ['am335x-bonegreen-wireless.dtb', 'am335x-bonegreen.dtb'],
  },
  {
    name: 'beagleboard-xm',
    deviceTreeModel: /^TI OMAP3 BeagleBoard xM/,
    deviceTypes: ['beagleboard-xm'],
    // Revisions A and B differ from C in the power switch of a USB hub only.
    deviceTrees: ['omap3-beagle-xm.dtb', 'omap3-beagle-xm-ab.dtb'],
  },
];

/** Kernels of the 3.8 time call every BeagleBone so; only the EEPROM tells them apart. */
const ambiguousModel = /^TI AM335x BeagleBone$/;

/** The row of a machine by what its device tree and, where that is not enough, its EEPROM call it. */
export function boardNamed(deviceTreeModel: string | undefined, eeprom: string | undefined): BeagleBoard | undefined {
  const model = deviceTreeModel ?? '';
  if (ambiguousModel.test(model)) return beagleBoards.find((row) => row.eepromName?.test(eeprom ?? '') === true);
  return beagleBoards.find((row) => row.deviceTreeModel.test(model));
}
