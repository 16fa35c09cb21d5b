// What stage 1 refuses before it writes anything, and takes back where it fails: the real program in a mounted old system, without emulation.
import { copyFile, mkdir, mkdtemp, rm, rmdir, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { balenaImage, configJson } from '../balena-image.ts';
import { diskBytes } from '../debian-disk.ts';
import { runMigrate } from '../faults/armed-disk.ts';
import { differences, fileRecorder } from '../faults/file-records.ts';
import { type OldSystem, openOldSystem } from '../faults/old-system.ts';
import { configYaml, errorCodes, fillWorkDirectory, workDirectory } from './road.ts';

const deviceType = 'genericx86-64-ext';
const largeName = 'larger-than-the-disk.img.gz';
let directory: string;
let system: OldSystem;
let work: string;
let records: ReturnType<typeof fileRecorder>;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'refusals-'));
  const share = join(directory, 'share');
  await mkdir(share);
  const image = await balenaImage({ table: 'mbr', deviceType, payloadMib: 8 });
  await fillWorkDirectory(share, { architecture: 'x64', image, deviceType });
  // As large as the disk and a sector more once inflated, and next to nothing before.
  const script = '{ cat "$1"; head -c "$2" /dev/zero; } | gzip -1 >"$3"';
  const missing = diskBytes + 512 - image.sizeBytes;
  await execa('sh', ['-c', script, 'grow', image.raw, String(missing), join(share, largeName)]);
  system = await openOldSystem({ directory });
  work = join(system.root, workDirectory);
  await execa('cp', ['-a', share, work]);
  records = fileRecorder(system.root, ['boot', 'etc', 'var', 'root', 'srv']);
});

afterEach(async () => {
  for (const name of ['balena.img.gz', 'config.json']) await copyFile(join(directory, 'share', name), join(work, name));
});

afterAll(async () => {
  await system?.close();
  await rm(directory, { recursive: true, force: true });
});

const configure = (text: string): Promise<void> => writeFile(join(work, 'balena-migrate.yml'), text);

async function refusedWith(...codes: string[]): Promise<void> {
  const before = await records();
  const { exitCode, output } = await runMigrate(system, '--mode', 'immediate', '--yes', '--json');
  expect(exitCode, output).toBe(3);
  expect(errorCodes(output)).toEqual(codes);
  expect(differences(before, await records())).toEqual([]);
}

describe('stage 1', () => {
  it('refuses a truncated image with exit 3 and writes nothing', async () => {
    await configure(configYaml());
    await truncate(join(work, 'balena.img.gz'), 3_000_000);
    await refusedWith('asset-invalid-input');
  });

  it('refuses another hash than configured with exit 3 and writes nothing', async () => {
    const hash = `balena.img.gz\n      hash:\n        sha256: ${'a1'.repeat(32)}\n`;
    await configure(configYaml().replace('balena.img.gz\n', hash));
    await refusedWith('asset-verify-mismatch');
  });

  it('refuses an image for another device type with exit 3 and writes nothing', async () => {
    await configure(configYaml());
    await writeFile(join(work, 'config.json'), configJson('raspberrypi3'));
    await refusedWith('config-json-device-type', 'device-type-mismatch');
  });

  it('refuses a missing config.json with exit 3 and writes nothing', async () => {
    await configure(configYaml());
    await rm(join(work, 'config.json'));
    await refusedWith('asset-not-found');
  });

  it('refuses a disk that is too small', async () => {
    await configure(configYaml().replace('balena.img.gz', largeName));
    await refusedWith('target-too-small');
  });

  it('a faulty configuration is exit 2, with its place', async () => {
    await configure(configYaml({ extra: ['al_wifis: true'] }));
    const { exitCode, output } = await runMigrate(system, '--mode', 'immediate', '--yes');
    expect([exitCode, output]).toEqual([
      2,
      expect.stringMatching(/balena-migrate\.yml:4:3 migrate\.al_wifis.*all_wifis/s),
    ]);
  });

  it('undoes itself where it fails', async () => {
    await configure(configYaml({ extra: ['staging: ram'] }));
    const before = await records();
    // A directory where the menu entry must go: the check sees no file, the step cannot write.
    const inTheWay = join(system.root, 'boot/grub/custom.cfg');
    await mkdir(inTheWay);
    const { exitCode, output } = await runMigrate(system, '--mode', 'immediate', '--yes');
    expect([exitCode, output]).toEqual([4, expect.stringContaining('everything was taken back')]);
    await rmdir(inTheWay);
    expect(differences(before, await records())).toEqual([]);
  });

  it('explain gives the same plan from captured facts', async () => {
    await configure(configYaml());
    const planned = async (...args: readonly string[]): Promise<Record<string, unknown>> => {
      const { exitCode, output } = await runMigrate(system, ...args, '--json');
      expect(exitCode, output).toBe(0);
      return (JSON.parse(output.slice(output.search(/^\{$/m))) as { plan: Record<string, unknown> }).plan;
    };
    const plan = await planned();
    const facts = await runMigrate(system, 'facts');
    expect(facts.exitCode, facts.output).toBe(0);
    await writeFile(join(work, 'facts.json'), facts.output);
    expect(await planned('explain', '-f', 'facts.json')).toEqual(plan);
    expect(plan.stage2).not.toEqual([]);
  });
});
