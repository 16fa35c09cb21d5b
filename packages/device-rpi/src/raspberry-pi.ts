import type { Device } from '@migrate/core';
import { piFirmware } from './firmware-boot.ts';
import { modelNamed, piModels } from './models.ts';

/** One device for each row of the table. */
export const raspberryPis: readonly Device[] = piModels.map((row) => ({
  name: row.name,
  deviceTypes: row.deviceTypes,
  architecture: row.kernels.arm.length === 0 ? 'aarch64' : 'arm',
  matches: (facts) =>
    facts.firmware.kind === 'device-tree' && modelNamed(facts.hardware.deviceTreeModel)?.name === row.name,
  bootManagers: [piFirmware],
}));
