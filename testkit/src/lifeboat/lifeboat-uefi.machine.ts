import { describeLifeboat } from './lifeboat-test.ts';

describeLifeboat('a machine with UEFI and GPT', {
  shape: 'uefi',
  deviceType: 'generic-amd64',
  memoryMib: 512,
  payloadMib: 8,
});
