import type { Device } from '@migrate/core';
import { x86Devices } from '@migrate/device-x86';

/** All machines that can be migrated. */
export const devices: readonly Device[] = [...x86Devices];
