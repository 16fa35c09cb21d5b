import type { StepOf } from './plan.ts';

/** Of the new system among the firmware's boot entries. */
export const bootEntryName = 'balenaOS';

/** Lets UEFI firmware find the new system by the loader at its usual place (UEFI specification 2.10, section 3.5.1.1). */
export function uefiTarget(bits: 32 | 64): StepOf<'set-uefi-boot-entry'> {
  return {
    kind: 'set-uefi-boot-entry',
    id: 'set-uefi-boot-entry',
    description: bootEntryName,
    filePath: bits === 64 ? '\\EFI\\BOOT\\BOOTX64.EFI' : '\\EFI\\BOOT\\BOOTIA32.EFI',
    partitionLabel: 'resin-boot',
  };
}
