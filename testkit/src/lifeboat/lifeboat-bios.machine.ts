import { describeLifeboat } from './lifeboat-test.ts';

describeLifeboat('a machine with BIOS, MBR and 384 MiB of RAM', {
  shape: 'bios-mbr',
  deviceType: 'genericx86-64-ext',
  memoryMib: 384,
  payloadMib: 8,
});
