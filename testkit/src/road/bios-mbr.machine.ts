// A machine with an agent: a service that waits for a go-ahead, fetches the image and migrates, with nobody on the machine.
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type BalenaServer, canaryKey, configJsonFor, startBalenaServer } from '../connected/balena-server.ts';
import { type Certificates, makeCertificates } from '../connected/certificates.ts';
import { backupLines, connectionName, networkLines, type Road, startRoad } from './road.ts';
import { checkMigrated, fillOldSystem } from './road-test.ts';

const deviceType = 'genericx86-64-ext';
const device = '0123456789abcdef0123456789abcdef';
const host = '10.0.2.2';
const dropDirectory = '/etc/balena-migrate.d';

describe('a Debian 12 machine with BIOS and MBR', () => {
  const certificates = makeCertificates();
  const reports: string[] = [];
  let road: Road;
  let server: BalenaServer;
  beforeAll(async () => {
    road = await startRoad({ shape: 'bios-mbr', deviceType, reachesHost: true });
    server = await startBalenaServer(certificates, await readFile(road.image.path));
    keepReports(server, reports);
  });
  afterAll(async () => {
    await server?.close();
    await road?.close();
  });

  it('becomes balenaOS by its agent, which gets a go-ahead and fetches the image', async () => {
    const { machine, workDirectory } = road;
    const backup = await fillOldSystem(machine, { hasData: true });
    const configJson = deviceConfigJson(server, certificates);
    await machine.writeFile(`${workDirectory}/config.json`, configJson);
    await machine.writeFile(`${workDirectory}/balena-migrate.yml`, agentYaml(server));
    await machine.runShell(`rm ${workDirectory}/balena.img.gz
mkdir -m 700 ${dropDirectory}
nic=$(ls /sys/class/net | grep -vx lo)
ip link set "$nic" up && ip address add 10.0.2.15/24 dev "$nic" && ip route add default via ${host}`);
    server.faults.push({ kind: 'cut', afterBytes: 2_000_000 });

    expect(await road.migrate('agent', 'install', '-c', 'balena-migrate.yml')).toMatchObject({
      exitCode: 0,
      stdout: expect.stringContaining(`This device is called ${device} there.`),
    });
    const goAhead = { id: 'rollout-1', device, action: 'migrate', issuedAt: '2026-01-31T12:00:00Z' };
    await machine.writeFile('/root/go-ahead.json', JSON.stringify(goAhead));
    await machine.runShell(`chmod 600 /root/go-ahead.json && mv /root/go-ahead.json ${dropDirectory}/`);
    await checkMigrated(road, { deviceType, firmware: 'bios', backup, configJson });

    expect(reports.map((text) => JSON.parse(text))).toMatchObject([
      { device, goAhead: 'rollout-1', outcome: 'migrating', findings: [] },
    ]);
    expect(server.provisioning).toMatchObject([{ status: 'configuring' }, {}]);
    const ranges = server.requests.filter(({ url }) => url.startsWith('/download')).map(({ headers }) => headers.range);
    expect(ranges).toEqual([undefined, expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
  });
});

/** The config.json of a registered device, as a dashboard would give it. */
function deviceConfigJson({ port }: BalenaServer, certificates: Certificates): string {
  const place = { origin: `https://${host}:${port}`, port };
  const own = { deviceType, vpnEndpoint: host, uuid: device, deviceApiKey: canaryKey };
  return `${JSON.stringify(JSON.parse(configJsonFor(place, certificates, own)), null, 2)}\n`;
}

function agentYaml({ port }: BalenaServer): string {
  return [
    'migrate:',
    `  nwmgr_files: [${connectionName}]`,
    ...[...networkLines, ...backupLines].map((line) => `  ${line}`),
    'balena:',
    '  image: { download: { version: ^5 } }',
    '  config: { path: config.json }',
    '  api: { check_key: true, report_progress: true }',
    'agent:',
    `  watch: ${dropDirectory}`,
    `  report_url: https://${host}:${port}/reports/{device}`,
    '  interval: 5',
    '',
  ].join('\n');
}

function keepReports(server: BalenaServer, reports: string[]): void {
  const { handle } = server;
  server.handle = (request, response) => {
    if (request.url !== `/reports/${device}`) return handle(request, response);
    let body = '';
    request.on('data', (bytes) => {
      body += String(bytes);
    });
    request.on('end', () => {
      reports.push(body);
      response.end();
    });
  };
}
