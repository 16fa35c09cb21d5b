// A machine that is watched from afar while a migration of it is rehearsed: its log goes to a server and to a USB stick, a watchdog is fed, and
// no password shows up anywhere on the way. Nothing is left of it.
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeCertificates } from '../connected/certificates.ts';
import { oldSystemUp } from '../debian-disk.ts';
import { networkMac } from '../pc.ts';
import { bootFiles } from './boot-files.ts';
import { configYaml, failure, oldNetworks, type Road, startRoad, startUnseen } from './road.ts';

const password = 'canary-log-password';
const canaries = ['canary-api-key', 'canary-wifi-password', password, Buffer.from(`me:${password}`).toString('base64')];
/** Several starts of a machine in one test: minutes on a busy one. */
const timeoutMs = 600_000;
let posted = '';
const { key, certificate: cert, authority } = makeCertificates();
const server = createServer({ key, cert }, (request, response) => {
  request.on('data', (chunk: Buffer) => {
    posted += chunk.toString();
  });
  request.on('end', () => response.end());
});
let road: Road;

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  road = await startRoad({
    shape: 'bios-mbr',
    reachesHost: true,
    more: async (directory) => {
      const stick = join(directory, 'stick.raw');
      await execa('truncate', ['-s', '16M', stick]);
      await execa('mkfs.vfat', ['-n', 'LOGS', stick]);
      return { disks: [{ path: stick, format: 'raw', serial: 'STICK' }], hasWatchdog: true, processors: 2 };
    },
  });
});
afterAll(async () => {
  server.close();
  await road?.close();
});

test('a rehearsal changes nothing, and is seen on the server and on the stick, without a secret anywhere', {
  timeout: 1_500_000,
}, async () => {
  const { machine } = road;
  const { port } = server.address() as AddressInfo;
  const setUp = `mkdir -p /etc/wpa_supplicant /etc/systemd/network /etc/systemd/system.conf.d
printf '[Match]\\nMACAddress=${networkMac}\\n[Network]\\nDHCP=yes\\n' >/etc/systemd/network/10.network
systemctl restart systemd-networkd
printf '[Manager]\\nRuntimeWatchdogSec=30\\n' >/etc/systemd/system.conf.d/watchdog.conf
modprobe i6300esb; systemctl daemon-reexec
for i in $(seq 60); do ip route | grep -q default && break; sleep 1; done; ip route | grep default`;
  await machine.runShell(setUp);
  const wifi = '/etc/wpa_supplicant/wpa_supplicant.conf';
  await machine.writeFile(wifi, oldNetworks[wifi] ?? '');
  await machine.runShell(`chmod 600 ${wifi}; touch /root/before`);
  const log = [
    'log:',
    '  drive: /dev/disk/by-label/LOGS',
    '  remote:',
    `    url: https://me:${password}@10.0.2.2:${port}/`,
    `    root_ca: ${Buffer.from(authority).toString('base64')}`,
  ];
  const config = `${road.workDirectory}/balena-migrate.yml`;
  await machine.writeFile(
    config,
    configYaml({ extra: ['reboot: 1', 'require_grade: A', 'all_wifis: true', ...log], noFlash: true }),
  );
  await machine.runShell(`chmod 600 ${config}`);

  const bootFilesBefore = await bootFiles(machine);
  const outputs: string[] = [];
  const run = async (...args: string[]): Promise<string> => {
    const { exitCode, stdout, stderr } = await road.migrate(...args);
    outputs.push(stdout, stderr);
    expect(exitCode, stdout + stderr).toBe(0);
    return stdout;
  };
  const facts = JSON.parse(await run('facts')) as { watchdogs?: unknown; wired?: { interfaces: unknown } };
  expect(facts.watchdogs).toMatchObject([{ path: '/dev/watchdog0', isRunning: true }]);
  expect(facts.wired?.interfaces).toMatchObject([{ mac: networkMac }]);
  await run('validate', 'balena-migrate.yml');
  await run('--report', '/root/report.json');
  await run('--json');
  await run('status', '--json');
  expect(JSON.parse((await machine.runShell('cat /root/report.json')).stdout)).toMatchObject({ result: 'planned' });
  expect(posted).toContain('"stage":1');

  await startUnseen(road, `./${road.bundle}/migrate --mode immediate --yes`);
  await machine.waitFor(/\/dev\/watchdog0, which resets the machine after 30 s, is fed/, {
    unless: failure,
    timeoutMs,
  });
  await machine.waitFor(/rehearsal complete/, { unless: failure, timeoutMs });
  await oldSystemUp(machine);

  const status = JSON.parse(await run('status', '--json')) as Record<string, unknown>;
  expect(status).toMatchObject({
    state: 'fell-back',
    report: { stage: 1, result: 'prepared' },
    stage2: { stage: 2, result: 'rehearsed' },
    reason: expect.stringContaining('rehearsal complete'),
  });
  expect(machine.log()).not.toContain('> make the firmware boot the lifeboat');
  const lines = posted
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { stage: number; hostname: string; text: string });
  const ofStage2 = lines.filter(({ stage, hostname }) => stage === 2 && hostname === 'brownfield');
  // The line about the stick may come before the first of the run: the two sinks are opened side by side.
  for (const line of ['stage 2, plan', 'rehearsal complete'])
    expect(ofStage2.map(({ text }) => text)).toContainEqual(expect.stringContaining(line));
  const { stdout: onStick } = await machine.runShell('mount /dev/vdb /mnt && cat /mnt/migrate.log && umount /mnt');
  expect(onStick).toMatch(/stage 2, plan[\s\S]*rehearsal complete/);
  const { stdout: onOldSystem } = await machine.runShell('cd /var/lib/balena-migrate && cat stage2.log *.json');

  // Files with passwords are for root alone, and the plan and the journal have none.
  // By a file, for the agent's commands are in the system's journal.
  await machine.writeFile('/root/canaries', `${canaries.join('\n')}\n`);
  const { stdout: readable } = await machine.runShell(
    'chmod 600 /root/canaries; find / -xdev -type f -newer /root/before -perm /044 -print0 | xargs -0 grep -lFf /root/canaries || true',
  );
  expect(readable).toBe('');
  const { stdout: plan } = await machine.runShell('cat /var/lib/balena-migrate/payload/plan.json');
  await run('undo', '--json');
  for (const text of [...outputs, posted, onStick, onOldSystem, plan, machine.log()])
    for (const canary of canaries) expect(text).not.toContain(canary);
  const { stdout: left } = await machine.runShell('ls -A /var/lib/balena-migrate 2>/dev/null || true');
  expect(left).toBe('');
  expect(await bootFiles(machine)).toBe(bootFilesBefore);
});
