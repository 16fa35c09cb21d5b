import type { Device, Facts } from '@migrate/core';
import { grub } from './grub.ts';

/** PC-class machines: Intel NUC and generic x86-64. Any of the PC images runs on any of them. */
export const pc: Device = {
  name: 'pc',
  deviceTypes: ['intel-nuc', 'genericx86-64-ext', 'generic-amd64'],
  architecture: 'x86_64',
  matches: (facts: Facts) => facts.kernel.architecture === 'x86_64' && facts.firmware.kind !== 'device-tree',
  bootManagers: [grub],
};

export const x86Devices: readonly Device[] = [pc];
