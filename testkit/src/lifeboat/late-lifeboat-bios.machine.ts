import { describeLateLifeboat } from './late-lifeboat-test.ts';

describeLateLifeboat('a machine with BIOS and 384 MiB of RAM whose old file system is full', {
  shape: 'bios-mbr',
  deviceType: 'genericx86-64-ext',
  memoryMib: 384,
  payloadMib: 8,
});
