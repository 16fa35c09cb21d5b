import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { globalVariableGuid, loadOption } from '@migrate/core';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { readVariables, withVariable, writeVariables } from './ovmf-variables.ts';
import { espOfBootEntry, espStart } from './windows-disk.ts';
import { windowsUp } from './windows-pc.ts';
import { configureWindows, startWindowsRoad, traces, type WindowsRoad } from './windows-road.ts';

describe('a stage 2 that dies gives way to Windows, and all that was made is taken back', () => {
  let road: WindowsRoad;
  let before: Awaited<ReturnType<typeof traces>>;
  beforeAll(async () => {
    road = await startWindowsRoad();
  });
  afterAll(() => road?.close());
  beforeEach(async () => {
    before = await traces(road.disk);
  });

  /** Starts the machine, which must say `failure` and then start Windows; returns what it said. */
  async function restartInto(failure: RegExp): Promise<string> {
    const machine = await road.restart();
    try {
      await machine.waitFor(failure, { unless: windowsUp });
      await machine.waitFor(windowsUp);
      return machine.log();
    } finally {
      await machine.kill();
      await road.windows.start();
    }
  }

  async function takeBack(reason: string): Promise<void> {
    expect(await road.status()).toMatchObject({ kind: 'fell-back', reason: expect.stringContaining(reason) });
    await road.undo();
    await road.windows.shutDown();
    const after = await traces(road.disk);
    await road.windows.start();
    expect(after).toEqual(before);
  }

  it('where the firmware was told by BootNext, and the kernel panics', async () => {
    await configureWindows(road, [], 'quiet rdinit=/nowhere panic=3');
    await road.migrate();
    const log = await restartInto(/Kernel panic/);
    expect(log).toMatch(/starting Boot\w{4} "balena.*starting Boot0000 "Windows Boot Manager"/s);
    await takeBack('did not start');
  });

  it('where the loader stands in the place of Windows’ boot manager, and a file has changed since', async () => {
    await configureWindows(road, ['windows_boot: boot-manager'], 'quiet');
    await road.migrate();
    await road.changeInPayload('config.json');
    expect(await road.payloadFiles()).toContain('migrated-connection-0');
    const log = await restartInto(/has changed since stage 1/);
    expect(log).not.toContain('"balena');
    expect(log).not.toContain('canary-');
    // Everybody can read what is on a FAT.
    expect(await road.payloadFiles()).toEqual(['image']);
    await takeBack('has changed since stage 1');
  });

  it('and with Secure Boot the plan refuses, for the firmware would start Windows and not the loader', async () => {
    const secure = await startWindowsRoad({ hasSecureBoot: true, bundle: road.bundle });
    try {
      await configureWindows(secure, [], 'quiet');
      await expect(secure.migrate()).rejects.toThrow('Secure Boot is on');
      await bootLoaderOnce(secure);
      const machine = await secure.restart();
      try {
        await machine.waitFor(/failed to load Boot\w{4} "balena.*Access Denied/);
        await machine.waitFor(windowsUp);
      } finally {
        await machine.kill();
      }
    } finally {
      await secure.close();
    }
  });
});

/** What migrate would have done. */
async function bootLoaderOnce({ disk: { disk, variables }, bundle }: WindowsRoad): Promise<void> {
  await execa('mcopy', ['-i', `${disk}@@${espStart}`, join(bundle, 'boot/grubx64.efi'), '::/EFI/grubx64.efi']);
  const file = await readFile(variables);
  const common = { namespace: globalVariableGuid, attributes: 7 };
  const entry = loadOption({ description: 'balena', filePath: '\\EFI\\grubx64.efi', partition: espOfBootEntry });
  const list = [
    { ...common, name: 'Boot0009', data: entry },
    { ...common, name: 'BootNext', data: Uint8Array.of(9, 0) },
  ].reduce(withVariable, readVariables(file));
  await writeFile(variables, writeVariables(file, list));
}
