import type { Device } from '@migrate/core';
import { beagles } from '@migrate/device-beagle';
import { raspberryPis } from '@migrate/device-rpi';
import { x86Devices } from '@migrate/device-x86';

/** All machines that can be migrated. */
export const devices: readonly Device[] = [...raspberryPis, ...beagles, ...x86Devices];
