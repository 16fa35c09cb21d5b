import { describeLateLifeboat } from './late-lifeboat-test.ts';

describeLateLifeboat('a machine with UEFI whose old file system is full', {
  shape: 'uefi',
  deviceType: 'generic-amd64',
  memoryMib: 1024,
  payloadMib: 8,
});
