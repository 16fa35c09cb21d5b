import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { cloudProgress, migrate, runAgentCommand, runCommandLine } from '@migrate/cli-migrate';
import { agentUnit, createMemoryHost, createNodeHttp, type Event, parseConfig } from '@migrate/core';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it, vi } from 'vitest';
import { type BalenaServer, canaryKey, configJsonFor, startBalenaServer } from './balena-server.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { smallImage } from './small-image.ts';

let certificates: Certificates;
let directory: string;
let image: Buffer;
let server: BalenaServer;
let printed: string;

beforeAll(() => {
  certificates = makeCertificates();
  directory = mkdtempSync(join(tmpdir(), 'agent-'));
  image = gzipSync(smallImage(directory, { deviceType: 'intel-nuc', noiseMib: 1 }));
});
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(async () => {
  server = await startBalenaServer(certificates, image);
  printed = '';
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, 'write').mockImplementation((text) => {
      printed += String(text);
      return true;
    });
  }
});
afterEach(async () => {
  vi.restoreAllMocks();
  await server.close();
});

const registered = { uuid: '0123456789abcdef0123456789abcdef', deviceApiKey: canaryKey };

/** A machine in memory with an agent; the address and the dashboard are real. */
function machineWith(agent: string) {
  return createMemoryHost({
    files: {
      '/var/lib/x': '',
      '/etc/machine-id': 'unused\n',
      '/migration/config.json': configJsonFor(server, certificates, registered),
      '/migration/token': 'canary-token\n',
      '/migration/balena-migrate.yml': `balena: { image: { download: { version: ^5 } }, config: { path: config.json } }\nagent: ${agent}\n`,
    },
  });
}

const goAhead = {
  id: 'rollout-1',
  device: '0123456789abcdef0123456789abcdef',
  action: 'migrate',
  issuedAt: '2026-01-31T12:00:00Z',
};

/** Runs the agent until it has reported. */
async function runUntilReport(agent: string) {
  const host = machineWith(agent);
  const controller = new AbortController();
  const options = { config: '/migration/balena-migrate.yml', workDir: '/migration' };
  const running = runAgentCommand(host, options, controller.signal);
  const path = '/var/lib/balena-migrate-agent/report.json';
  await vi.waitFor(async () => expect(await host.readText(path)).toBeDefined(), { timeout: 20_000 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  controller.abort();
  expect(await running).toBe(0);
  return { host, report: JSON.parse((await host.readText(path)) ?? '') as Record<string, unknown> };
}

it('an agent finds its go-ahead at an address, pretends, and posts what stands against it', async () => {
  const { handle } = server;
  const posted: { body: string; authorization: string | undefined }[] = [];
  server.handle = (request, response) => {
    if (request.url === '/reports/0123456789abcdef0123456789abcdef') {
      let body = '';
      request.on('data', (bytes) => {
        body += String(bytes);
      });
      request.on('end', () => {
        posted.push({ body, authorization: request.headers.authorization });
        response.end();
      });
    } else if (request.url === '/go-ahead/0123456789abcdef0123456789abcdef')
      response.setHeader('etag', '"1"').end(JSON.stringify(goAhead));
    else handle(request, response);
  };
  const { origin } = server;
  const { report, host } = await runUntilReport(
    `{ url: "${origin}/go-ahead/{device}", report_url: "${origin}/reports/{device}", token_file: token }`,
  );
  expect(report).toMatchObject({
    version: 1,
    device: '0123456789abcdef0123456789abcdef',
    goAhead: 'rollout-1',
    outcome: 'refused',
  });
  expect(posted).toHaveLength(1);
  expect(posted[0]?.authorization).toBe('Bearer canary-token');
  expect(JSON.parse(posted[0]?.body ?? '')).toEqual(report);
  // To migrate it needs the image, which it fetched.
  expect(Buffer.from(await host.readFile('/migration/balena-cloud-intel-nuc-5.1.20+rev1.img.gz')).equals(image)).toBe(
    true,
  );
  // What it found is of a machine in memory, which nothing can migrate; the cloud answered.
  const codes = (report.findings as { code: string }[]).map(({ code }) => code);
  expect(codes).not.toContain('image-not-fetched');
  expect(codes).not.toContain('api-unreachable');
  expect(printed + posted[0]?.body).not.toContain('canary');
});

it('an agent finds its go-ahead in the variables of the device', async () => {
  server.variables.MIGRATE_GO_AHEAD = JSON.stringify({ ...goAhead, action: 'pretend' });
  const { report } = await runUntilReport('{ device_variables: true }');
  expect(report).toMatchObject({ goAhead: 'rollout-1', outcome: 'refused' });
  // To pretend it changes nothing.
  expect((report.findings as { code: string }[]).map(({ code }) => code)).toContain('image-not-fetched');
  expect(printed).not.toContain('canary');
});

it('progress is shown in the dashboard of a registered device only', async () => {
  const { config } = parseConfig(
    'balena: { config: { path: config.json }, api: { report_progress: true } }\n',
    'c.yml',
  );
  if (config === undefined) throw new Error('no configuration');
  const events: Event[] = [];
  const context = { config, workDirectory: '/migration', emit: (event: Event) => void events.push(event) };
  const host = machineWith('{}');
  const tell = await cloudProgress(host, context, () => createNodeHttp({ authority: certificates.authority, env: {} }));
  await tell('preparing');
  expect(server.provisioning).toMatchObject([{ provisioning_progress: 10, status: 'configuring' }]);
  await server.close();
  await tell('restarting');
  expect(events).toMatchObject([{ text: expect.stringContaining('the dashboard was not told') }]);
  server = await startBalenaServer(certificates, image);
}, 30_000);

it('migrate download fetches an image by a configuration, or by options alone', async () => {
  const work = mkdtempSync(join(directory, 'work-'));
  writeFileSync(join(work, 'config.json'), configJsonFor(server, certificates));
  const yaml = 'balena: { image: { download: { version: ^5 } }, config: { path: config.json } }\n';
  writeFileSync(join(work, 'balena-migrate.yml'), yaml);
  expect(await runCommandLine(['download', '-c', join(work, 'balena-migrate.yml'), '-w', work])).toBe(0);
  const name = 'balena-cloud-intel-nuc-5.1.20+rev1.img.gz';
  expect(readdirSync(work).sort()).toEqual([name, 'balena-migrate.yml', 'config.json']);
  expect(readFileSync(join(work, name)).equals(image)).toBe(true);
  expect(printed).toContain(`${work}/${name}: balenaOS 5.1.20+rev1\n`);
  printed = '';
  const options = ['--config-json', join(work, 'config.json'), '-w', work, '--os-version', '4.0.26', '--json'];
  expect(await runCommandLine(['download', ...options])).toBe(0);
  expect(readdirSync(work)).toContain('balena-cloud-intel-nuc-4.0.26.img.gz');
  expect(printed).not.toContain(canaryKey);
  expect(await runCommandLine(['download', ...options.slice(0, 4), '--os-version', '^9'])).toBe(3);
});

it('mode connected fetches the image, and then plans with it', async () => {
  const options = { config: '/migration/balena-migrate.yml', workDir: '/migration', json: true } as const;
  const refused = async (mode: 'immediate' | 'connected') => {
    const host = machineWith('{ device_variables: true }');
    printed = '';
    expect(await migrate(host, { ...options, mode, report: '/report.json' })).toBe(3);
    const report = JSON.parse((await host.readText('/report.json')) ?? '') as { findings: { code: string }[] };
    return { host, codes: report.findings.map(({ code }) => code) };
  };
  expect((await refused('immediate')).codes).toContain('image-not-fetched');
  const { host, codes } = await refused('connected');
  expect(codes).not.toContain('image-not-fetched');
  const fetched = await host.readFile('/migration/balena-cloud-intel-nuc-5.1.20+rev1.img.gz');
  expect(Buffer.from(fetched).equals(image)).toBe(true);
  expect(printed).not.toContain('canary');
});

it('the unit of the agent is one that systemd understands', () => {
  const path = join(directory, 'balena-migrate-agent.service');
  const command = ['/bin/true', 'agent', 'run', '--config', '/root/50% "new"/$c\\.yml'];
  writeFileSync(path, agentUnit({ command, workDirectory: '/root' }));
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', path], { encoding: 'utf8' });
  expect({ status, about: stderr.split('\n').filter((line) => line.includes('balena-migrate-agent')) }).toEqual({
    status: 0,
    about: [],
  });
});
