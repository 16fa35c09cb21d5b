// A migration for tests that carry out stage 1 hundreds of times: the real program, an image of 16 MiB, and a bundle whose runtime is
// shortened where it is only copied, and whose loader is a gate for faults.
import { cp, mkdir, truncate, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import { configJson } from '../balena-image.ts';
import { bundleName, makeBundle } from '../bundle/bundle.ts';
import { makeTinyImage } from '../bundle/tiny-image.ts';
import { backupLines, configYaml, connection, connectionName, oldNetworks, workDirectory } from '../road/road.ts';
import { gateScript, placeGate } from './fault-gate.ts';
import type { OldSystem } from './old-system.ts';

/** Where the image lies while the disk is flashed: each of them has a configuration. */
export const stagings = ['ram', 'lifeboat'] as const;
export type Staging = (typeof stagings)[number];

const deviceType = 'genericx86-64-ext';
const runtime = '/opt/migrate-runtime';
/** Left of Node in the bundle, which is 80 MiB. */
const shortenedBytes = 100_000;
/** Of the runtime, what the plan asks for, getfattr needs and a lifeboat is made with: one file more is one more of the same. */
const needed = [
  ...['node', 'busybox', 'ld.so', 'architecture', 'zstd', 'getfattr', 'libc.so.6', 'libattr.so.1'],
  ...['fallocate', 'filefrag', 'boot.img', 'core.img', 'BOOTX64.EFI'],
];

/** Fills a directory with all that `placeSmallMigration` puts into an old system. */
export async function makeSmallMigration(directory: string): Promise<void> {
  const work = join(directory, workDirectory);
  await mkdir(work, { recursive: true });
  const bundle = await makeBundle(work);
  await cp(join(bundle, 'runtime'), join(directory, runtime), { recursive: true });
  const others = needed.flatMap((name) => ['!', '-name', name]);
  const shortened = join(bundle, 'runtime');
  await execa('find', [shortened, '!', '-type', 'd', ...others, '-delete']);
  await execa('find', [shortened, '-type', 'd', '-empty', '-delete']);
  await truncate(join(shortened, 'node'), shortenedBytes);
  const image = join(work, 'balena.img');
  await makeTinyImage(image, deviceType, { dataMib: 10 });
  await execa('gzip', [image]);
  const files: Record<string, string> = {
    ...oldNetworks,
    '/srv/app/settings.json': '{"volume": 7}\n',
    [`${workDirectory}/config.json`]: configJson(deviceType),
    [`${workDirectory}/${connectionName}`]: connection,
    ...Object.fromEntries(stagings.map((staging) => [`${workDirectory}/${staging}.yml`, configOf(staging)])),
  };
  for (const [path, contents] of Object.entries(files)) {
    await mkdir(join(directory, dirname(path)), { recursive: true });
    await writeFile(join(directory, path), contents, { mode: 0o600 });
  }
  await writeFile(join(shortened, 'ld.so'), gateScript(`${runtime}/ld.so`));
}

function configOf(staging: Staging): string {
  return configYaml({ extra: [`staging: ${staging}`, 'all_wifis: true', ...backupLines] });
}

/** Puts it into an old system. */
export async function placeSmallMigration({ root }: OldSystem, directory: string): Promise<void> {
  await execa('cp', ['-a', `${directory}/.`, root]);
  await placeGate(root);
}

/** The command line of stage 1 there. */
export function stage1Command(staging: Staging): readonly string[] {
  return migrateCommand('--config', `${staging}.yml`, '--mode', 'immediate', '--yes');
}

/** The command line of migrate there: as its launcher has it, but with the whole runtime. */
export function migrateCommand(...args: readonly string[]): readonly string[] {
  const node = [`${runtime}/ld.so`, '--library-path', `${runtime}/lib`, `${runtime}/node`];
  const options = ['--expose-gc', '--max-semi-space-size=1', '--max-old-space-size=96'];
  const program = `${workDirectory}/${bundleName('x64')}/app/migrate.js`;
  return ['/usr/bin/env', '-C', workDirectory, ...node, ...options, program, ...args];
}
