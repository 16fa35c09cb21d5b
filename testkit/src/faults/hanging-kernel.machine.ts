// A kernel that hangs in stage 2 before the point of no return: the watchdog, which the old system had running, brings it back.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { bundleName } from '../bundle/bundle.ts';
import { oldSystemUp } from '../debian-disk.ts';
import { startPc } from '../pc.ts';
import { workDirectory } from '../road/road.ts';
import { armDisk } from './armed-disk.ts';
import { diskSerial } from './old-system.ts';

/** What Linux shows of a running i6300esb, QEMU's watchdog. */
const runningWatchdog = {
  'class/watchdog/watchdog0/identity': 'i6300ESB timer',
  'class/watchdog/watchdog0/state': 'active',
  'class/watchdog/watchdog0/nowayout': '0',
  'class/watchdog/watchdog0/timeout': '30',
  'module/i6300esb/initstate': 'live',
};
const timeoutMs = 600_000;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'hanging-kernel-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

test('is reset by the watchdog, and the old system comes back by itself', { timeout: timeoutMs }, async () => {
  // The panic of a kernel that is not to restart is what comes next to a kernel that hangs.
  const extra = ['kernel_opts: "panic=0 unknown_nmi_panic i6300esb.heartbeat=12"'];
  const armed = await armDisk({ directory, extra, sysfs: runningWatchdog });
  const machine = await startPc({
    firmware: 'bios',
    memoryMib: 1024,
    disks: [{ path: armed.path, format: 'raw', serial: diskSerial }],
    hasWatchdog: true,
  });
  try {
    const unless = /migrate: FAILED|OLD-SYSTEM-UP/;
    await machine.waitFor(/watchdog0, which resets the machine after 12 s, is fed every 4 s/, { timeoutMs, unless });
    await machine.waitFor(/stage 2, plan/, { timeoutMs, unless });
    await machine.interrupt();
    await machine.waitFor(/Kernel panic/, { timeoutMs, unless: /point of no return/ });
    await oldSystemUp(machine);

    const run = async (...args: readonly string[]): Promise<string> => {
      const result = await machine.run(`${workDirectory}/${bundleName('x64')}/migrate`, args);
      expect(result.exitCode, result.stdout + result.stderr).toBe(0);
      return result.stdout;
    };
    expect(JSON.parse(await run('status', '--json'))).toMatchObject({
      state: 'fell-back',
      reason: expect.stringContaining('did not start, or died'),
    });
    await run('undo');
    const left = 'ls -d /var/lib/balena-migrate /boot/balena-migrate /boot/grub/custom.cfg 2>/dev/null || true';
    expect((await machine.runShell(`${left}; grub-editenv /boot/grub/grubenv list`)).stdout).toBe('');
  } finally {
    await machine.kill();
  }
});
