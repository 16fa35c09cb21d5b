/**
 * Arguments of the running kernel that this hardware may need to start at all (Documentation/admin-guide/
 * kernel-parameters.rst). Everything else (root=, resume=, quiet, systemd.*…) belongs to the old system and stays behind.
 */
const hardwareArguments =
  /^(console|earlycon|earlyprintk|acpi\w*|pci\w*|noapic|nolapic|nomodeset|iommu|intel_iommu|amd_iommu|idle|intel_idle\.\w+|nvme_core\.\w+|libata\.\w+|ahci\.\w+|usbcore\.\w+|usb-storage\.\w+|mmc_core\.\w+|clocksource|tsc|hpet|maxcpus|nosmp|mem)(=|$)/;

/**
 * The kernel command line of stage 2. `rootfstype=ramfs` lifts the limit of half the RAM that an initramfs in tmpfs has;
 * `panic` makes a dead kernel reboot, into the old system.
 */
export function stage2CommandLine(running: string, added: readonly string[]): readonly string[] {
  const kept = running.split(/\s+/).filter((word) => hardwareArguments.test(word));
  return ['rdinit=/migrate/init', 'rootfstype=ramfs', 'panic=10', ...kept, ...added];
}
