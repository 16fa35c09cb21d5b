/**
 * Device types whose download is a flasher image: those that boot from an internal medium and are installed from another one,
 * without a protocol of their own (balena-io/contracts as of 2026-07: `media.defaultBoot` is "internal", `media.altBoot` is not
 * empty, no `flashProtocol`).
 */
const flasherDeviceTypes: ReadonlySet<string> = new Set(
  `advantech-ecu1370 am571x-evm apalis-imx6q artik10 artik5 artik530 artik533s artik710 astro-tx2 asus-tinker-board-s
  asus-tinker-edge-t beaglebone-ai64 beaglebone-black beaglebone-green beaglebone-green-gateway beaglebone-green-wifi beagleplay
  blackboard-tx2 bluechiptechnology-db1 bluechiptechnology-tm3 ccimx8x-sbc-pro cl-som-imx8 colibri-imx6dl coral-dev
  cybertan-ze250 eg5120-imx8mp etcher-pro forecr-dsb-ornx-lan-orin-nx-16gb forecr-dsb-ornx-orin-nano-8gb generic-amd64
  genericx86-64-ext imx6ul-var-dart imx7-var-som imx8m-var-dart imx8mm-lpddr4-evk imx8mm-var-dart imx8mm-var-som imx8mp-var-dart
  intel-nuc iot-gate-imx8 isg-503 jetson-agx-orin-devkit-64gb jetson-agx-thor-devkit jetson-orin-nano-devkit-nvme
  jetson-orin-nano-seeed-j3010 jetson-orin-nx-seeed-j4012 jetson-orin-nx-xavier-nx-devkit jetson-tx1 jetson-tx2 kitra520 kitra710
  kontron-mx8mm lcbzu9 n310-tx2 n510-tx2 nanopc-t4 nanopi-neo-air nitrogen8mm odyssey-x86 orangepi-plus2 orbitty-tx2 owa5x
  phyboard-lyra-am62xx-2 rockpi-4b-rk3399 spacely-tx2 surface-go surface-pro-6 ts4900 ucm-imx93 up-board up-core up-core-plus
  up-squared var-som-mx6 via-vab820-quad`.split(/\s+/),
);

/** Whether the download for a device type (balena's slug) is a flasher image. */
export function isFlasherDeviceType(slug: string): boolean {
  return flasherDeviceTypes.has(slug);
}
