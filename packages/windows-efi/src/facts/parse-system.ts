import type { Architecture } from '@migrate/core';
import type { FromSchema } from 'json-schema-to-ts';
import { bytes, flag, known, named, plainText, scalar, shapeOf, wholeNumber } from './shapes.ts';
import type { WindowsFacts } from './windows-facts.ts';

const schema = {
  type: 'object',
  required: ['isAdministrator', 'memoryBytes', 'systemDrive'],
  properties: {
    isAdministrator: scalar,
    firmwareType: scalar,
    secureBoot: scalar,
    architecture: scalar,
    hostname: scalar,
    productName: scalar,
    displayVersion: scalar,
    build: scalar,
    edition: scalar,
    vendor: scalar,
    product: scalar,
    memoryBytes: scalar,
    availableMemoryBytes: scalar,
    fastStart: scalar,
    hibernation: scalar,
    battery: {
      type: ['object', 'null'],
      properties: { isDischarging: scalar, percent: scalar },
    },
    noAutoMount: scalar,
    bootCount: scalar,
    startedAt: scalar,
    systemDrive: scalar,
    programFiles: scalar,
    programData: scalar,
  },
} as const;

const shape = shapeOf<FromSchema<typeof schema>>('read-system', schema);

/** FIRMWARE_TYPE (winnt.h), as the registry's PEFirmwareType has it, or the environment's firmware_type by name. */
const firmwareTypes = { '1': 'bios', '2': 'uefi', Legacy: 'bios', UEFI: 'uefi' } as const;
/** PROCESSOR_ARCHITECTURE of the machine's environment. */
const architectures: Readonly<Record<string, Architecture>> = {
  AMD64: 'x86_64',
  ARM64: 'aarch64',
  x86: 'i386',
  ARM: 'arm',
};
/** Windows 11 still calls itself 10 in the registry; its builds begin here. */
const firstBuildOf11 = 22_000;

/** What read-system prints. Throws `invalid-input` for anything else. */
export function parseSystem(printed: unknown): Omit<WindowsFacts, 'disks' | 'bitLocker'> {
  const system = shape(printed);
  const build = wholeNumber(system.build);
  const name = plainText(system.productName) ?? 'Windows';
  const isServer = /server/i.test(name);
  const secureBoot = wholeNumber(system.secureBoot);
  const { battery } = system;
  return {
    version: 1,
    platform: 'windows',
    isAdministrator: flag(system.isAdministrator),
    hostname: plainText(system.hostname) ?? '',
    os: {
      name:
        build !== undefined && build >= firstBuildOf11 && !isServer ? name.replace('Windows 10', 'Windows 11') : name,
      ...known({ displayVersion: plainText(system.displayVersion), build, edition: plainText(system.edition) }),
    },
    architecture: named(system.architecture, architectures) ?? 'unknown',
    hardware: known({ vendor: plainText(system.vendor), product: plainText(system.product) }),
    memory: {
      totalBytes: bytes(system.memoryBytes, 'read-system: memoryBytes'),
      availableBytes: wholeNumber(system.availableMemoryBytes) ?? 0,
    },
    firmware: named(system.firmwareType, firmwareTypes) ?? 'unknown',
    ...(secureBoot === undefined ? {} : { secureBoot: secureBoot === 1 }),
    // Absent means on (HiberbootEnabled is written when someone decides); without hibernation it means nothing.
    hasFastStart: wholeNumber(system.hibernation) === 1 && wholeNumber(system.fastStart) !== 0,
    ...(battery === null || battery === undefined
      ? {}
      : { battery: { isDischarging: flag(battery.isDischarging), percent: wholeNumber(battery.percent) ?? 0 } }),
    // Absent means on.
    ...((wholeNumber(system.noAutoMount) ?? 0) === 0 ? {} : { isAutoMountOff: true }),
    // The time is computed anew when the clock is set.
    bootId: plainText(system.bootCount) ?? plainText(system.startedAt) ?? '',
    systemDrive: plainText(system.systemDrive) ?? 'C:',
    programFiles: plainText(system.programFiles) ?? plainText(system.programData) ?? 'C:\\Program Files',
  };
}
