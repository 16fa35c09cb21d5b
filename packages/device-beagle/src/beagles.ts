import type { Device } from '@migrate/core';
import { beagleBoards } from './boards.ts';
import { boardOf } from './boot-medium.ts';
import { beagleUboot } from './uboot.ts';

/** One device for each row of the table. */
export const beagles: readonly Device[] = beagleBoards.map((row) => ({
  name: row.name,
  deviceTypes: row.deviceTypes,
  architecture: 'arm',
  matches: (facts) => boardOf(facts)?.name === row.name,
  bootManagers: [beagleUboot],
}));
