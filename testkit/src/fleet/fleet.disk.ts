// The Ansible role on hosts that it reaches by ssh. Kit, launcher, copying and pretending are real; on these hosts nothing can be
// migrated, so where a host must be "ready" a stand-in answers for migrate, and what a reboot leads to is played by the test.
import { access, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { makeKit } from '@migrate/image-tools';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { balenaImage, configJson } from '../balena-image.ts';
import { makeBundle } from '../bundle/bundle.ts';
import { type FleetHost, makeFleetHost } from './fleet-host.ts';
import {
  callsFile,
  failMark,
  makeStandInBundle,
  rebootProgram,
  rebootScript,
  refuseMark,
  stateFile,
} from './stand-in.ts';

// Ansible starts a program of its own for each task on each host.
vi.setConfig({ testTimeout: 400_000, hookTimeout: 400_000 });

const deviceType = 'genericx86-64-ext';
const secrets = ['canary-api-key-0123456789abcdef', 'canary-check-token'];
const ansible = join(import.meta.dirname, '../../../ansible');

let directory: string;
let kits: { readonly real: string; readonly standIn: string };
let hosts: FleetHost[] = [];

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fleet-'));
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', join(directory, 'key')]);
  await writeFile(join(directory, 'config.json'), configJson(deviceType));
  await mkdir(join(directory, 'www'));
  await writeFile(join(directory, 'www/ping'), 'OK');
  await mkdir(join(directory, 'real'));
  kits = {
    real: await kit('real.tar.gz', await makeBundle(join(directory, 'real'))),
    standIn: await kit('stand-in.tar.gz', await makeStandInBundle(directory)),
  };
});
afterAll(() => rm(directory, { recursive: true }));
afterEach(async () => {
  for (const host of hosts) await host.remove();
  hosts = [];
});

async function kit(name: string, bundle: string): Promise<string> {
  const output = join(directory, name);
  const image = await balenaImage({ table: 'mbr', deviceType, payloadMib: 8 });
  const made = await makeKit({
    host: createNodeHost(),
    emit: () => {},
    output,
    imagePath: image.path,
    configJsonPath: join(directory, 'config.json'),
    connectionPaths: [],
    settings: { assignments: ['migrate.require_nwmgr_config=false'] },
    bundlePaths: [bundle],
    bundlePlaces: [],
    supported: new Map([[deviceType, ['x86_64']]]),
    imageFormat: 'gzip',
  });
  expect(made.findings).toEqual([]);
  return output;
}

async function startHosts(...names: readonly string[]): Promise<readonly FleetHost[]> {
  const publicKey = await readFile(join(directory, 'key.pub'), 'utf8');
  hosts = await Promise.all(
    names.map((name, index) => makeFleetHost({ name, number: index + 1, directory, publicKey })),
  );
  await Promise.all(
    hosts.map(async (host) => {
      await writeFile(join(host.root, rebootProgram), rebootScript, { mode: 0o755 });
      await host.start();
    }),
  );
  return hosts;
}

type Fate = 'migrated' | 'fell-back';

/** Plays what comes after the end of a host: the new system, which answers as the supervisor does, or the old one again. */
function afterReboot(host: FleetHost, fate: Fate): void {
  void host.ended().then(async () => {
    if (fate === 'migrated') return host.serve(['busybox', 'httpd', '-f', '-p', '48484', '-h', join(directory, 'www')]);
    await writeFile(join(host.root, stateFile), '{"state":"fell-back","reason":"the image has changed"}\n');
    await host.start();
  });
}

interface PlayOptions {
  readonly options?: readonly string[];
  /** A playbook of the user's own. */
  readonly playbook?: string;
  /** Name of a host where nobody answers. */
  readonly gone?: string;
}

async function play(
  kitPath: string,
  settings: Readonly<Record<string, unknown>>,
  { options = [], playbook = join(ansible, 'migrate.yml'), gone }: PlayOptions = {},
) {
  const reports = join(directory, 'reports');
  const connection = { ansible_user: 'root', ansible_ssh_private_key_file: join(directory, 'key') };
  const entries: Record<string, object> =
    gone === undefined ? {} : { [gone]: { ansible_host: '127.0.0.1', ansible_port: 1 } };
  for (const { name, address } of hosts) entries[name] = { ansible_host: address, ...connection };
  const inventory = { all: { hosts: entries } };
  await writeFile(join(directory, 'hosts.yml'), JSON.stringify(inventory));
  const variables = {
    migrate_kit: kitPath,
    migrate_reports: reports,
    migrate_check_url: 'http://{{ ansible_host }}:48484/ping',
    migrate_check_headers: { Authorization: secrets[1] },
    migrate_check_timeout: 12,
    migrate_check_interval: 1,
    migrate_reboot_command: [rebootProgram],
    ...settings,
  };
  await writeFile(join(directory, 'variables.json'), JSON.stringify(variables));
  const args = [
    '-i',
    join(directory, 'hosts.yml'),
    '-e',
    `@${join(directory, 'variables.json')}`,
    ...options,
    playbook,
  ];
  const run = await execa('ansible-playbook', args, { reject: false, stdin: 'ignore', env: ansibleEnvironment() });
  for (const secret of secrets) expect(`${run.stdout}${run.stderr}`).not.toContain(secret);
  return {
    ...run,
    result: async (host: string) => JSON.parse(await readFile(join(reports, `${host}.result.json`), 'utf8')) as unknown,
    reports,
  };
}

function ansibleEnvironment(): Record<string, string> {
  return {
    HOME: directory,
    ANSIBLE_HOST_KEY_CHECKING: 'False',
    ANSIBLE_NOCOLOR: '1',
    ANSIBLE_PIPELINING: 'True',
    ANSIBLE_ROLES_PATH: join(ansible, 'roles'),
    ANSIBLE_TIMEOUT: '10',
    ANSIBLE_SSH_RETRIES: '0',
    ANSIBLE_LOCALHOST_WARNING: 'False',
    ANSIBLE_SSH_CONTROL_PATH_DIR: join(directory, 'cp'),
  };
}

async function calls({ root }: FleetHost): Promise<readonly string[]> {
  return (await readFile(join(root, callsFile), 'utf8').catch(() => '')).split('\n').filter(Boolean);
}

const wasMigrated = async (host: FleetHost): Promise<boolean> =>
  (await calls(host)).some((call) => call.includes('immediate'));

describe('the role with the real program', () => {
  it('pretends, reports what stands against the host, and changes nothing on it but its own directory', async () => {
    const [host] = await startHosts('gateway');
    if (host === undefined) throw new Error('no host');
    // As part of a play that is not ours.
    const playbook = join(directory, 'own.yml');
    await writeFile(playbook, JSON.stringify([{ hosts: 'all', gather_facts: false, roles: ['migrate'] }]));
    const run = await play(kits.real, { migrate_mode: 'immediate' }, { playbook });
    expect(run.exitCode).toBe(2);
    const report = JSON.parse(await readFile(join(run.reports, 'gateway.pretend.json'), 'utf8')) as {
      findings: { code: string }[];
    };
    expect(report.findings.map(({ code }) => code)).toContain('target-unknown');
    expect(await run.result('gateway')).toMatchObject({
      state: 'refused',
      reason: expect.stringContaining('disk to flash'),
    });
    await expect(access(join(host.root, 'var/lib/balena-migrate'))).rejects.toThrow('ENOENT');
    const [place = ''] = await readdir(join(host.root, 'var/lib/migrate-kits'));
    const kitPlace = join(host.root, 'var/lib/migrate-kits', place);
    await execa('sha256sum', ['--check', '--quiet', 'SHA256SUMS'], { cwd: kitPlace });
  });
});

describe('the role with a stand-in', () => {
  it('migrates a canary, then the others in batches, leaves out who is refused, and has nothing to do again', async () => {
    const [canary, second, third, small] = await startHosts('a-canary', 'b-second', 'c-third', 'd-small');
    if (canary === undefined || second === undefined || third === undefined || small === undefined)
      throw new Error('no hosts');
    await writeFile(join(small.root, refuseMark), '');
    for (const host of [canary, second, third]) afterReboot(host, 'migrated');
    const seenAtCanary: boolean[] = [];
    void canary.ended().then(async () => seenAtCanary.push(await wasMigrated(second), await wasMigrated(third)));
    const settings = { migrate_mode: 'immediate', migrate_canaries: 1, migrate_batch: 2 };
    const run = await play(kits.standIn, settings, { options: ['-vvv', '--diff'], gone: 'e-gone' });
    for (const { name } of [canary, second, third])
      expect(await run.result(name)).toEqual({ host: name, state: 'migrated', reason: '' });
    expect(await run.result('d-small')).toMatchObject({ state: 'refused', reason: 'the image does not fit' });
    expect(await run.result('e-gone')).toMatchObject({
      state: 'refused',
      reason: expect.stringContaining('not be reached'),
    });
    expect(seenAtCanary).toEqual([false, false]);
    expect(await wasMigrated(small)).toBe(false);
    // One host was left out, and that must not look like success.
    expect(run.exitCode).toBe(2);
    expect(JSON.parse(await readFile(join(run.reports, 'a-canary.stage1.jsonl'), 'utf8'))).toMatchObject({
      outcome: 'done',
    });

    // Its cause mended, only the host that was left out has something to do.
    await rm(join(small.root, refuseMark));
    afterReboot(small, 'migrated');
    const again = await play(kits.standIn, settings);
    expect(again).toMatchObject({ exitCode: 0 });
    expect(await again.result('d-small')).toMatchObject({ state: 'migrated' });
    for (const { name } of [canary, second, third])
      expect(again.stdout).toMatch(new RegExp(`^${name} .*changed=0 `, 'm'));
    expect((await calls(second)).filter((call) => call.includes('immediate'))).toHaveLength(1);
  });

  it('stops when the canary falls back, says why, and leaves all others alone', async () => {
    const [canary, other] = await startHosts('a-canary', 'b-other');
    if (canary === undefined || other === undefined) throw new Error('no hosts');
    afterReboot(canary, 'fell-back');
    const run = await play(kits.standIn, { migrate_mode: 'immediate', migrate_check_timeout: 4 });
    expect(run.exitCode).toBe(2);
    expect(await run.result('a-canary')).toEqual({
      host: 'a-canary',
      state: 'fell-back',
      reason: 'the image has changed',
    });
    expect(await wasMigrated(other)).toBe(false);
    expect(await run.result('b-other')).toMatchObject({ state: 'ready' });
  });

  it('only pretends unless told otherwise, does not begin without a check, and stops where the canary cannot be prepared', async () => {
    const [canary, other] = await startHosts('a-canary', 'b-other');
    if (canary === undefined || other === undefined) throw new Error('no hosts');
    await writeFile(join(canary.root, failMark), '');
    const unchecked = await play(kits.standIn, { migrate_mode: 'immediate', migrate_check_url: '' });
    expect(unchecked).toMatchObject({ exitCode: 2 });
    expect(await calls(canary)).toEqual([]);
    expect(await play(kits.standIn, {})).toMatchObject({ exitCode: 0 });
    expect([await wasMigrated(canary), await wasMigrated(other)]).toEqual([false, false]);
    const run = await play(kits.standIn, { migrate_mode: 'immediate' });
    expect(run.exitCode).toBe(2);
    expect(run.stdout).not.toMatch(/changed=[1-9]/);
    expect(await run.result('a-canary')).toMatchObject({
      state: 'undone',
      reason: expect.stringContaining('taken back'),
    });
    expect(await wasMigrated(other)).toBe(false);
  });
});
