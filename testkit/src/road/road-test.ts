import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { createNodeHost, writtenBytes, writtenRanges } from '@migrate/core';
import { proveImage } from '@migrate/image-tools';
import { execa } from 'execa';
import { expect } from 'vitest';
import { configJson } from '../balena-image.ts';
import type { Machine } from '../machine.ts';
import { networkMac } from '../pc.ts';
import {
  backupLines,
  configYaml,
  connection,
  connectionName,
  failure,
  networkLines,
  newSystem,
  oldData,
  oldNetworks,
  type Road,
  startUnseen,
} from './road.ts';

const mebibyte = 1024 * 1024;
/** Of waiting for one stage of a migration, on a busy machine. */
const timeoutMs = 600_000;
const migratedWifi = 'migrated-wifi-field-office.nmconnection';
/** Promise: see docs/guarantees.md. */
const peakMemoryKib = 128 * 1024;

interface MigratedSystem {
  readonly deviceType: string;
  readonly firmware: 'bios' | 'uefi' | 'device-tree';
  readonly writesUnused?: boolean;
  /** What stands below balena.image where the image comes as archives. */
  readonly archives?: string;
  /** The old system has the name that its distribution gives to every machine, which does not move. */
  readonly hasStockName?: boolean;
  /** How safe against power cuts the migration must be; not looked at where it is left out. */
  readonly grade?: 'A' | 'B' | 'C';
  /** Otherwise its name; "brownfield" where it is left out. */
  readonly hostname?: string;
  /** What the backup must have, where there is one. */
  readonly backup?: readonly string[] | undefined;
  /** The config.json that the machine was given, where it is not the usual one. */
  readonly configJson?: string;
}

/** Migrates with the tool's own reboot, and checks what the new system and its disk say. `extra`: more lines of `migrate`. */
export async function migrateAndCheck(
  road: Road,
  {
    archives,
    extra = [],
    meanwhile = async () => {},
    ...system
  }: Omit<MigratedSystem, 'backup'> & {
    readonly extra?: readonly string[];
    /** What happens to the machine on its way. */
    readonly meanwhile?: () => Promise<void>;
  },
): Promise<void> {
  // Over the console of a board it would take long to get there.
  const hasData = system.firmware !== 'device-tree';
  const backup = await fillOldSystem(road.machine, { hasData });
  const { grade } = system;
  const staging = grade === undefined ? [] : [grade === 'C' ? 'staging: ram' : `require_grade: ${grade}`];
  await road.machine.writeFile(
    `${road.workDirectory}/balena-migrate.yml`,
    configYaml({
      extra: [...networkLines, ...(hasData ? backupLines : []), ...staging, ...extra],
      writesUnused: system.writesUnused === true,
      ...(archives === undefined ? {} : { image: archives }),
    }),
  );
  await startUnseen(road, `./${road.bundle}/migrate --mode immediate --yes`);
  await meanwhile();
  await checkMigrated(road, {
    ...system,
    backup,
    ...(archives === undefined ? {} : { archives }),
  });
}

/** Gives the old system networks, and data for a backup; returns what the new system must find in that. */
export async function fillOldSystem(
  machine: Machine,
  { hasData }: { hasData: boolean },
): Promise<readonly string[] | undefined> {
  await machine.runShell('mkdir -p /etc/wpa_supplicant /etc/systemd/network');
  for (const [path, contents] of Object.entries(oldNetworks)) await machine.writeFile(path, contents);
  return hasData ? makeOldData(machine) : undefined;
}

/** Checks what stage 2, the new system and its disk say, once the machine restarts into stage 2. */
export async function checkMigrated(
  { machine, image, ...road }: Pick<Road, 'machine' | 'image' | 'disk' | 'isWired'>,
  { deviceType, firmware, writesUnused = false, archives, backup, hasStockName = false, ...given }: MigratedSystem,
): Promise<void> {
  const { hostname = 'brownfield', grade } = given;
  for (const text of [/migrate: stage 2 init/, /point of no return/, /migration complete/])
    await machine.waitFor(text, { unless: failure, timeoutMs });
  if (grade !== undefined) expect(machine.log().includes('make the firmware boot the lifeboat')).toBe(grade !== 'C');
  const found = await newSystem(machine);
  const givenConfig = given.configJson ?? configJson(deviceType);
  expect(found).toMatchObject({
    deviceType,
    firmware,
    isRootIntact: true,
    configJson: hasStockName ? givenConfig : givenConfig.replace('{', `{\n  "hostname": "${hostname}",`),
    logMode: '600',
    ...(backup === undefined ? {} : { backupMode: '600', backup }),
  });
  const migratedWired = Object.keys(found.connections).find((name) => name.startsWith('migrated-ethernet-')) ?? '';
  const { [migratedWifi]: wifi, [migratedWired]: wired, ...others } = found.connections;
  expect(others).toEqual({ [connectionName]: connection, 'balena-sample.ignore': expect.any(String) });
  expect(wifi).toMatch(/ssid=field office\n.*key-mgmt=wpa-psk\npsk=canary-wifi-password\n/s);
  const wiredPattern = `mac-address=${networkMac}\n.*address1=192.0.2.77/24\ngateway=192.0.2.1\ndns=192.0.2.53;\n`;
  if (road.isWired) expect(wired).toMatch(new RegExp(wiredPattern, 's'));
  expect(found.log).toMatch(
    archives === undefined
      ? /point of no return.*flashing.*verifying/s
      : /point of no return.*unpacking resin-data.*verifying resin-data/s,
  );
  // Passwords and keys appear in no log; the console has them only in what the new system was made to print of its files.
  const beforeNewSystem = machine.log().split('NEWOS-BOOTED')[0];
  for (const secret of ['canary-api-key', 'canary-wifi-password', 'canary-backup-content']) {
    expect(found.log).not.toContain(secret);
    expect(beforeNewSystem).not.toContain(secret);
  }
  const [, peak] = /peak memory of stage 2: (\d+) KiB/.exec(machine.log()) ?? [];
  expect(Number(peak)).toBeGreaterThan(10_000);
  expect(Number(peak)).toBeLessThanOrEqual(peakMemoryKib);
  await machine.exited;
  if (archives === undefined) await checkDisk(road.disk, { raw: image.raw, writesUnused });
}

/** Puts data onto the old system; returns what the new system must find of it in the backup. */
async function makeOldData(machine: Machine): Promise<readonly string[]> {
  for (const { path, contents } of oldData) {
    await machine.runShell(`mkdir -p "$(dirname ${path})"`);
    await machine.writeFile(path, contents);
  }
  await machine.runShell(
    'cd /srv/app && chown 1000:33 settings.json state && chmod 640 settings.json && chmod 2750 state && chmod 604 state/large.db && ln -s state current && ln state/large.db second',
  );
  return backedUp((await machine.run('/bin/cat', ['/etc/machine-id'])).stdout);
}

/** `machineId` with its newline. */
function backedUp(machineId: string): readonly string[] {
  const hash = (text = ''): string => createHash('sha256').update(text).digest('hex');
  const [settings, database] = oldData.map(({ contents }) => hash(contents));
  return [
    'app-data/ 755 0:0',
    `app-data/machine-id 444 0:0 1 ${hash(machineId)}`,
    'app-data/old/ 755 0:0',
    'app-data/old/current -> state',
    `app-data/old/second 604 0:0 2 ${database}`,
    `app-data/old/settings.json 640 1000:33 1 ${settings}`,
    'app-data/old/state/ 2750 1000:33',
    `app-data/old/state/large.db 604 0:0 2 ${database}`,
  ];
}

/** The disk has all that is written of the image but for the two partitions that were configured, and nothing of the old tables. */
async function checkDisk(disk: string, { raw, writesUnused }: { raw: string; writesUnused: boolean }): Promise<void> {
  const converted = join(disk, '..', 'after.raw');
  await execa('qemu-img', ['convert', '-O', 'raw', disk, converted]);
  const facts = await proveImage({
    host: createNodeHost(),
    path: raw,
    emit: () => {},
    ...(writesUnused ? {} : { usedBlocks: 'find' }),
  });
  expect(writtenBytes(facts) < facts.sizeBytes).toBe(!writesUnused);
  const image = await open(raw);
  const after = await open(converted);
  try {
    const configured = await configuredMebibytes(raw);
    const [expected, found] = [Buffer.alloc(mebibyte), Buffer.alloc(mebibyte)];
    const differing = new Set<number>();
    for (const { startByte, endByte } of writtenRanges(facts)) {
      for (let position = startByte; position < endByte; ) {
        const length = Math.min(endByte, position - (position % mebibyte) + mebibyte) - position;
        await image.read(expected, 0, length, position);
        await after.read(found, 0, length, position);
        if (!expected.subarray(0, length).equals(found.subarray(0, length)))
          differing.add(Math.floor(position / mebibyte));
        position += length;
      }
    }
    expect([...differing].filter((position) => !configured(position))).toEqual([]);
    expect(differing.size).toBeGreaterThan(1);
    const tail = Buffer.alloc(mebibyte);
    await after.read(tail, 0, tail.length, (await after.stat()).size - tail.length);
    expect(tail.every((byte) => byte === 0)).toBe(true);
  } finally {
    await image.close();
    await after.close();
  }
}

/** Whether a MiB lies in resin-boot or resin-data: the first and the last partition of the image. */
async function configuredMebibytes(raw: string): Promise<(position: number) => boolean> {
  const { stdout } = await execa('sfdisk', ['--json', raw]);
  const { partitiontable } = JSON.parse(stdout) as {
    partitiontable: { partitions: { start: number; size: number }[] };
  };
  const [boot, data] = [partitiontable.partitions[0], partitiontable.partitions.at(-1)];
  return (position) =>
    [boot, data].some(
      (part) => part !== undefined && position >= part.start / 2048 && position < (part.start + part.size) / 2048,
    );
}
