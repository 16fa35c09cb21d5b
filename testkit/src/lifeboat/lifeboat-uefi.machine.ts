import { describeLifeboat } from './lifeboat-test.ts';

describeLifeboat('a machine with UEFI and GPT', {
  shape: 'uefi',
  deviceType: 'generic-amd64',
  memoryMib: 1024,
  payloadMib: 8,
});
