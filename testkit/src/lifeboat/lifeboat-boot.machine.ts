// Real firmware and GRUB boot a lifeboat by one sector.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPc } from '../pc.ts';
import { lifeboatDisk, uefiVariables, writeSector } from './lifeboat-disk.ts';

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'lifeboat-boot-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

async function expectLifeboat(firmware: 'bios' | 'uefi', path: string): Promise<void> {
  const machine = await startPc({
    firmware,
    disks: [{ path, format: 'raw', serial: 'LIFEBOAT' }],
    // GRUB for UEFI finds too little room for a kernel in less.
    memoryMib: 512,
    noReboot: true,
    ...(firmware === 'uefi' ? { uefiVariables: await uefiVariables(work) } : {}),
  });
  try {
    await machine.waitFor(/LIFEBOAT-UP/, { timeoutMs: 120_000 });
  } finally {
    await machine.kill();
  }
}

describe('a lifeboat', () => {
  it('is booted by BIOS through sector 0', async () => {
    const { path, record } = await lifeboatDisk('mbr', work);
    await writeSector(path, record.switch);
    expect((await execa('sfdisk', ['--dump', path])).stdout).toContain('label-id: 0xb0b0b0b0');
    await expectLifeboat('bios', path);
  });

  it('is booted by UEFI through the header of a GPT', async () => {
    const { path, record } = await lifeboatDisk('gpt', work);
    await writeSector(path, record.switch);
    await expectLifeboat('uefi', path);
  });

  it('is booted by UEFI through the backup header where the first is torn', async () => {
    const { path, record } = await lifeboatDisk('gpt', work);
    if (record.backup === undefined) throw new Error('a GPT has a backup');
    await writeSector(path, record.backup);
    await writeSector(path, { startByte: 512, bytes: Buffer.alloc(512, 0x5a).toString('base64') });
    await expectLifeboat('uefi', path);
  });
});
