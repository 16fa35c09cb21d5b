import { mkdir, mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bundleName } from '../bundle/bundle.ts';
import { oldSystemUp } from '../debian-disk.ts';
import { type ArmedDisk, type ArmedDiskOptions, armDisk } from '../faults/armed-disk.ts';
import { diskSerial, type OldSystem } from '../faults/old-system.ts';
import { startPc } from '../pc.ts';
import { workDirectory } from './road.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fallback-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** What the old system says of the run when it is up again. */
interface FallenBack {
  readonly status: unknown;
  readonly stage2Log: string;
}

/** Boots a disk that is armed until the old system is back; that undo leaves nothing there is checked. */
async function fallsBack(
  name: string,
  options: Omit<ArmedDiskOptions, 'directory'>,
  because: RegExp,
): Promise<FallenBack> {
  const place = join(directory, name);
  await mkdir(place);
  const armed = await armDisk({ directory: place, ...options });
  const status = await statusInOldSystem(armed, because);
  const system = await armed.open();
  try {
    const stage2Log = await readFile(join(system.root, 'var/lib/balena-migrate/stage2.log'), 'utf8').catch(() => '');
    const differences = await armed.differencesAfterUndo(system);
    expect(differences.filter((line) => !isOfOthers(line))).toEqual([]);
    return { status, stage2Log };
  } finally {
    await system.close();
  }
}

/** The old system has run since, whose own state changes; and a test changed the image. */
function isOfOthers(difference: string): boolean {
  return /^\/var\/lib\/(systemd|dbus)\/|\/balena\.img\.gz: /.test(difference);
}

async function statusInOldSystem({ path }: ArmedDisk, because: RegExp): Promise<unknown> {
  const machine = await startPc({
    firmware: 'bios',
    memoryMib: 1024,
    disks: [{ path, format: 'raw', serial: diskSerial }],
  });
  try {
    await machine.waitFor(because, { timeoutMs: 600_000, unless: /point of no return|OLD-SYSTEM-UP/ });
    await oldSystemUp(machine);
    const { stdout } = await machine.run(`${workDirectory}/${bundleName('x64')}/migrate`, ['status', '--json']);
    await machine.runShell('sync');
    return JSON.parse(stdout);
  } finally {
    await machine.kill();
  }
}

async function changeImage({ root }: OldSystem): Promise<void> {
  const image = await open(join(root, workDirectory, 'balena.img.gz'), 'r+');
  await image.write('X', 1_000_000);
  await image.close();
}

describe('a stage 2 that does not finish gives way to the old system, untouched', () => {
  it('when the kernel panics', async () => {
    const extra = ['kernel_opts: "rdinit=/nowhere panic=3"'];
    const { status } = await fallsBack('panic', { extra }, /Kernel panic/);
    expect(status).toMatchObject({ state: 'fell-back', reason: expect.stringContaining('did not start') });
  });

  it('when the image has changed since stage 1', async () => {
    // A lifeboat would have a copy of its own.
    const { status, stage2Log } = await fallsBack('changed', { change: changeImage }, /has changed since stage 1/);
    expect(status).toMatchObject({
      state: 'fell-back',
      reason: expect.stringContaining('has changed since stage 1'),
    });
    expect(stage2Log).toContain('copying image');
  });
});
