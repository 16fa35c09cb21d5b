import { createMemoryHost, stateDirectory } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { linuxPlatform } from './linux-platform.ts';
import { undoStage1 } from './run-stage1.ts';

const bootId = { '/proc/sys/kernel/random/boot_id': 'boot-1\n', '/var/lib/dpkg/status': '' };
const lock = JSON.stringify({ pid: 42, bootId: 'boot-1', since: '2026-01-01T00:00:00Z' });

describe('undo without a journal', () => {
  it('removes what a run left that was killed before its first step', async () => {
    const before = createMemoryHost({ files: bootId }).snapshot();
    const host = createMemoryHost({ files: { ...bootId, [`${stateDirectory}/lock`]: lock } });
    expect(await undoStage1(linuxPlatform(host), () => {})).toBe(false);
    expect(host.snapshot()).toEqual(before);
  });

  it('leaves a run alone that is at work', async () => {
    const files = { ...bootId, [`${stateDirectory}/lock`]: lock, '/proc/42/status': '' };
    const host = createMemoryHost({ files });
    await expect(undoStage1(linuxPlatform(host), () => {})).rejects.toThrow(/process 42/);
    expect(await host.readText(`${stateDirectory}/lock`)).toBe(lock);
  });

  it('changes nothing where there was no run', async () => {
    const host = createMemoryHost({
      files: bootId,
      onChange: (change) => {
        throw new Error(change);
      },
    });
    expect(await undoStage1(linuxPlatform(host), () => {})).toBe(false);
  });
});
