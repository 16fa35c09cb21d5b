// Real firmware and GRUB boot a lifeboat by the backup of a GPT. That they do by sector 0 and by the first GPT is shown where
// whole migrations are cut short.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { startPc } from '../pc.ts';
import { lifeboatDisk, uefiVariables, writeSector } from './lifeboat-disk.ts';

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lifeboat-boot-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

describe('a lifeboat', () => {
  it('is booted by UEFI through the backup header where the first is torn', async () => {
    const { path, record } = await lifeboatDisk(work);
    if (record.backup === undefined) throw new Error('a GPT has a backup');
    await writeSector(path, record.backup);
    await writeSector(path, { startByte: 512, bytes: Buffer.alloc(512, 0x5a).toString('base64') });
    const machine = await startPc({
      firmware: 'uefi',
      disks: [{ path, format: 'raw', serial: 'LIFEBOAT' }],
      // GRUB for UEFI finds too little room for a kernel in less.
      memoryMib: 512,
      noReboot: true,
      uefiVariables: await uefiVariables(work),
    });
    try {
      await machine.waitFor(/LIFEBOAT-UP/, { timeoutMs: 120_000 });
    } finally {
      await machine.kill();
    }
  });
});
