// What stage 2 does with a disk that is slow, fails, lies, does not answer, or has another name than in stage 1.
import { mkdir, mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256Of } from '../balena-image.ts';
import { diskBytes } from '../debian-disk.ts';
import { startPc } from '../pc.ts';
import { newSystem, workDirectory } from '../road/road.ts';
import { type ArmedDisk, type ArmedDiskOptions, armDisk, runMigrate } from './armed-disk.ts';
import { type ByteRange, type FaultyDisk, serveFaultyDisk } from './faulty-disk.ts';
import { diskSerial, type OldSystem, partitionStartByte } from './old-system.ts';

const mebibyte = 1024 * 1024;
const sectorBytes = 512;
/** Of a bad SD card. */
const slowBytesPerSecond = 20 * mebibyte;
const memoryMib = 1024;
/** Machines of this file and of others run side by side. */
const timeoutMs = 600_000;

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'failing-disk-'));
});
afterAll(() => rm(directory, { recursive: true, force: true }));

interface Prepared {
  readonly armed: ArmedDisk;
  readonly disk: FaultyDisk;
}

async function prepare(
  name: string,
  options: Omit<ArmedDiskOptions, 'directory'>,
  bytesPerSecond?: number,
): Promise<Prepared> {
  const place = join(directory, name);
  await mkdir(place);
  const armed = await armDisk({ directory: place, ...options });
  const socket = join(place, 'socket');
  const disk = await serveFaultyDisk({
    image: armed.path,
    socket,
    ...(bytesPerSecond === undefined ? {} : { bytesPerSecond }),
  });
  return { armed, disk };
}

/** More than a chunk that is verified has, and than a request writes. */
const apartBytes = 3 * mebibyte;

/** Sectors of an image whose bytes are random, so that a write of them cannot be lost unseen; far from each other. */
async function randomPlaces(raw: string, count: number): Promise<readonly ByteRange[]> {
  const file = await open(raw, 'r');
  try {
    const places: ByteRange[] = [];
    const { size } = await file.stat();
    for (let startByte = 0; startByte < size && places.length < count; startByte += mebibyte) {
      const bytes = Buffer.alloc(sectorBytes);
      await file.read(bytes, 0, sectorBytes, startByte);
      if (new Set(bytes).size < 128 || startByte - (places.at(-1)?.startByte ?? 0) < apartBytes) continue;
      places.push({ startByte, endByte: startByte + sectorBytes });
    }
    return places;
  } finally {
    await file.close();
  }
}

async function bytesAt(path: string, { startByte, endByte }: ByteRange): Promise<Buffer> {
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(endByte - startByte);
    await file.read(bytes, 0, bytes.length, startByte);
    return bytes;
  } finally {
    await file.close();
  }
}

/** Where a file of the mounted old system lies on its disk, by the kernel's map of it once all of it is there (-s). */
async function placesOf({ root }: OldSystem, path: string): Promise<readonly ByteRange[]> {
  const { stdout } = await execa('filefrag', ['-s', '-v', '-b4096', join(root, path)]);
  // "   0:        0..    4605:     123456..    128061:   4606:"
  const extents = [...stdout.matchAll(/^ *\d+: +\d+\.\. *\d+: +(\d+)\.\. *(\d+):/gm)];
  if (extents.length === 0 || stdout.includes('unknown_loc')) throw new Error(`${path} has no place yet: ${stdout}`);
  return extents.map(([, first, last]) => ({
    startByte: partitionStartByte + Number(first) * 4096,
    endByte: partitionStartByte + (Number(last) + 1) * 4096,
  }));
}

test('is finished on a slow disk that has another name now, whatever it fails to write, keep or read once, and never while it lies', {
  timeout: timeoutMs,
}, async () => {
  const { armed, disk } = await prepare('lying', {}, slowBytesPerSecond);
  // Of the same size and with the same identity in its table; Linux names it before the target.
  const decoy = join(directory, 'decoy.raw');
  await execa('truncate', ['-s', String(diskBytes), decoy]);
  await execa('sfdisk', ['-q', decoy], { input: 'label: dos\nlabel-id: 0xb0b0b0b0\nstart=2048,type=83\n' });
  const decoyBefore = await sha256Of(decoy);
  const [dead, refused, forgotten, unread, lying] = await randomPlaces(armed.image.raw, 5);
  if (
    dead === undefined ||
    refused === undefined ||
    forgotten === undefined ||
    unread === undefined ||
    lying === undefined
  )
    throw new Error('the image has too few random bytes');
  const machine = await startPc({
    firmware: 'bios',
    memoryMib,
    disks: [
      { path: disk.path, format: 'raw', serial: diskSerial, pciSlot: 0x1e },
      { path: decoy, format: 'raw', serial: 'DECOY' },
    ],
  });
  try {
    await machine.waitFor(/the target disk is \/dev\/vdb/, { timeoutMs });
    await machine.waitFor(/point of no return/, { timeoutMs });
    disk.add({ on: 'write', ...dead, does: 'fail' });
    await machine.waitFor(/stage 2 ended with status 1; starting it again, 1 of 3/, { timeoutMs });
    // No firmware takes for bootable what is not complete.
    expect(await bytesAt(armed.path, { startByte: 0, endByte: sectorBytes })).toEqual(Buffer.alloc(sectorBytes));

    disk.heal();
    const strikes = [
      disk.add({ on: 'write', ...refused, does: 'fail', times: 1 }),
      disk.add({ on: 'write', ...forgotten, does: 'lose', times: 1 }),
      disk.add({ on: 'read', ...unread, does: 'fail', times: 1 }),
    ];
    const lies = disk.add({ on: 'write', ...lying, does: 'lose' });
    await machine.waitFor(/the disk does not keep what is written to it: 1 of \d+ chunks differ/, { timeoutMs });
    expect(await bytesAt(armed.path, { startByte: 0, endByte: sectorBytes })).toEqual(Buffer.alloc(sectorBytes));
    expect(strikes.map((count) => count())).toEqual([1, 1, 1]);
    expect(lies()).toBe(4);

    disk.heal();
    await machine.waitFor(/migration complete/, { timeoutMs });
    const found = await newSystem(machine);
    expect(found).toMatchObject({ deviceType: 'genericx86-64-ext', firmware: 'bios', isRootIntact: true });
    // What was not kept, what could not be read, and the lie; in the second round the lie alone.
    expect(found.log).toMatch(/3 of \d+ chunks differ, at .*; they are written again \(1 of 3\)/);
    expect(found.log).toMatch(/1 of \d+ chunks differ, at .*; they are written again \(2 of 3\)/);
    expect(await sha256Of(decoy)).toBe(decoyBefore);
  } finally {
    await machine.kill();
    await disk.close();
  }
});

/** Stage 1, then stage 2 until the machine restarts; returns what the console said. */
async function untilRestart(
  name: string,
  { change, fault }: Pick<ArmedDiskOptions, 'change'> & { fault: 'fail' | 'stall' },
) {
  let places: readonly ByteRange[] = [];
  const { armed, disk } = await prepare(name, {
    change: async (system) => {
      places = await placesOf(system, `${workDirectory}/balena.img.gz`);
      await change?.(system);
    },
  });
  const strikes = places.map((place) => disk.add({ on: 'read', ...place, does: fault }));
  const machine = await startPc({
    firmware: 'bios',
    memoryMib,
    disks: [{ path: disk.path, format: 'raw', serial: diskSerial }],
  });
  try {
    const unless = /Kernel panic|OLD-SYSTEM-UP/;
    await machine.waitFor(/the old system starts again; restarting/, { timeoutMs, unless });
    // QEMU itself would wait for requests that are never answered before it restarts.
    await machine.waitFor(/reboot: machine restart/, { timeoutMs, unless });
  } finally {
    await machine.kill();
    await disk.close();
  }
  expect(strikes.reduce((sum, count) => sum + count(), 0)).toBeGreaterThan(0);
  return { armed, log: machine.log(), writes: disk.writes };
}

/** GRUB's choice is the old system again, and undo leaves nothing of stage 1. */
async function isAsBefore(armed: ArmedDisk, reason: RegExp): Promise<void> {
  const system = await armed.open();
  try {
    const { output: variables } = await system.run(['/usr/bin/grub-editenv', '/boot/grub/grubenv', 'list']);
    expect(variables).toMatch(/^(next_entry=)?$/);
    const { output } = await runMigrate(system, 'status', '--json');
    expect(output).toMatch(reason);
    expect(await armed.differencesAfterUndo(system)).toEqual([]);
  } finally {
    await system.close();
  }
}

test('is given up before the point of no return where the image cannot be read', { timeout: timeoutMs }, async () => {
  const { armed, log } = await untilRestart('unreadable', { fault: 'fail' });
  expect(log).toMatch(/stage 2 failed \(undone\): .*balena\.img\.gz.*EIO/);
  await isAsBefore(armed, /"state":"fell-back".*EIO/);
});

test('that does not answer any more is given up when time is over', { timeout: timeoutMs }, async () => {
  const { armed, log, writes } = await untilRestart('silent', {
    fault: 'stall',
    change: (system) => limitTime(system, 35),
  });
  expect(log).toContain('the point of no return was not reached within');
  // GRUB has cleared its variable; nothing else was written.
  expect(writes.reduce((sum, { startByte, endByte }) => sum + endByte - startByte, 0)).toBeLessThanOrEqual(2 * 1024);
  await isAsBefore(armed, /"state":"armed"/);
});

/** Shortens the time in which stage 2 must reach the point of no return, in the initramfs that stage 1 has built. */
async function limitTime({ root }: OldSystem, seconds: number): Promise<void> {
  const path = join(root, 'boot/balena-migrate/stage2.img');
  const text = gunzipSync(await readFile(path)).toString('latin1');
  const shorter = text.replace(
    /(TIMEOUT_SECONDS=')(\d+)'/,
    (_, name: string, old: string) =>
      // In an archive no byte may move.
      `${name}${String(seconds).padStart(old.length, '0')}'`,
  );
  expect(shorter).not.toBe(text);
  await writeFile(path, gzipSync(Buffer.from(shorter, 'latin1')));
}
