// The order of test files on a machine that has never run them: what takes longest begins, so that nothing long is left for one
// worker alone. Vitest itself would go by the sizes of files.
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Longest first. Others come after them. */
const longest = [
  'lifeboat-uefi.machine.ts',
  'lifeboat-bios.machine.ts',
  'late-lifeboat-uefi.machine.ts',
  'late-lifeboat-bios.machine.ts',
  'pi-3-tryboot.machine.ts',
  'pi-2-config-sector.machine.ts',
  'fallback.machine.ts',
  'beagle-emmc.machine.ts',
  'watched.machine.ts',
  'bios-gpt-512.machine.ts',
  'initramfs.machine.ts',
  'failing-disk.machine.ts',
  'beagle-sd.machine.ts',
  'stage1-faults.disk.ts',
  'prepare.disk.ts',
  'fleet.disk.ts',
  'interruptions.disk.ts',
  'inject-image-faults.disk.ts',
];

export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification): number => {
      const found = longest.findIndex((name) => moduleId.endsWith(`/${name}`));
      return found < 0 ? longest.length : found;
    };
    return (await super.sort(files)).sort((one, other) => place(one) - place(other));
  }
}
