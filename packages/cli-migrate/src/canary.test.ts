// Secrets that nobody could mistake lie in all that migrate reads, sound or broken; whatever it says must not have one of them.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createMemoryHost, exitCodes, type MemoryHost } from '@migrate/core';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { bundleDirectory } from './bundle.ts';
import { explain, printFacts, validate } from './desk-commands.ts';
import { migrate } from './migrate-command.ts';
import { status, undo } from './undo-command.ts';

const canary = (name: string) => `CANARY${name}9f3c7`;
const privateKey = `-----BEGIN PRIVATE KEY-----\n${canary('key')}\n-----END PRIVATE KEY-----\n`;
const workDirectory = '/migration';

const inputs: Readonly<Record<string, string>> = {
  '/migration/balena-migrate.yml': `migrate:
  mode: immediate
  all_wifis: true
  nwmgr_files: [home, office]
  kernel_opts: "token=${canary('kernel')} panic=20"
  log:
    remote:
      url: http://logger:${canary('remote')}@127.0.0.1:9/in
      stage2: true
balena:
  image:
    dd:
      path: image.img
      hash:
        sha256: ${'a'.repeat(64)}
  config:
    path: config.json
  api:
    host: 127.0.0.1
    port: 10
    key: ${canary('config')}
`,
  '/migration/config.json': JSON.stringify(
    {
      applicationName: 'fleet',
      applicationId: 1,
      deviceType: 'genericx86-64-ext',
      apiKey: canary('api'),
      deviceApiKey: canary('device'),
      uuid: 'b'.repeat(32),
      // Nobody listens there.
      apiEndpoint: 'https://127.0.0.1:10',
      vpnEndpoint: `https://user:${canary('url')}@127.0.0.1:10`,
      wifiSsid: 'home',
      wifiKey: canary('wifi'),
    },
    null,
    1,
  ),
  '/migration/image.img': 'not an image',
  '/migration/home': `[connection]\nid=home\ntype=wifi\n[wifi]\nssid=home\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=${canary('psk')}\n`,
  '/migration/office': `[connection]\nid=office\ntype=wifi\n[wifi]\nssid=office\n[802-1x]\neap=peap;\nidentity=me\npassword=${canary('eap')}\nprivate-key-password=${canary('pkpass')}\n`,
  '/etc/wpa_supplicant/wpa_supplicant.conf': `network={\n ssid="cafe"\n psk="${canary('wpa')}"\n}\nnetwork={\n ssid="corp"\n key_mgmt=WPA-EAP\n identity="x"\n password="${canary('wpaeap')}"\n private_key_passwd="${canary('wpapk')}"\n}\n`,
  '/etc/NetworkManager/system-connections/old.nmconnection': `[connection]\nid=old\ntype=wifi\n[wifi]\nssid=old\n[wifi-security]\nkey-mgmt=sae\npsk=${canary('nm')}\n`,
  '/var/lib/connman/x.config': `[service_x]\nType=wifi\nName=conn\nPassphrase=${canary('connman')}\n`,
  '/etc/netplan/50.yaml': `network:\n  wifis:\n    w0:\n      access-points:\n        plan:\n          password: "${canary('netplan')}"\n`,
  '/etc/network/interfaces': `auto w0\niface w0 inet dhcp\n  wpa-ssid up\n  wpa-psk ${canary('ifupdown')}\n`,
  '/etc/wpa_supplicant/wpa_supplicant-wired-eth0.conf': `network={\n key_mgmt=IEEE8021X\n eap=PEAP\n identity="x"\n password="${canary('wired')}"\n}\n`,
  '/etc/environment': `https_proxy=http://me:${canary('proxy')}@proxy.example:3128\nno_proxy=.example.org\n`,
  '/etc/profile': `export https_proxy=http://me:${canary('profile')}@proxy.example:3128\n`,
  '/etc/profile.d/proxy.sh': `if true; then\n  export https_proxy=http://me:${canary('script')}@proxy.example:3128\nfi\n`,
  '/etc/apt/apt.conf': `Acquire::http::Proxy "http://me:${canary('apt')}@cache.example:3142";\n`,
  '/proc/cmdline': `root=/dev/sda1 inst.password=${canary('cmdline')} quiet\n`,
  '/boot/grub/grub.cfg': `set superusers="root"\npassword root ${canary('grub')}\n`,
  '/boot/grub/grubenv': `# GRUB Environment Block\ntoken=${canary('grubenv')}\n`,
  '/migration/key.pem': privateKey,
};

function withServer(files: Readonly<Record<string, string>>) {
  const { port } = server.address() as AddressInfo;
  return Object.fromEntries(
    Object.entries(files).map(([path, text]) => [path, text.replace('127.0.0.1:9/', `127.0.0.1:${port}/`)]),
  );
}

function machine(changes: Readonly<Record<string, string>> = {}): MemoryHost {
  const runtime = ['runtime/node', 'runtime/busybox', 'app/stage2.js', 'app/init'];
  return createMemoryHost({
    files: {
      ...Object.fromEntries(runtime.map((file) => [`${bundleDirectory}/${file}`, 'x'])),
      '/proc/sys/kernel/hostname': 'box\n',
      ...withServer(inputs),
      ...withServer(changes),
    },
  });
}

/** What the log server got, address and headers left aside. */
let sent = '';
const server = createServer((request, response) => {
  request.on('data', (chunk: Buffer) => {
    sent += chunk.toString();
  });
  request.on('end', () => response.end());
});
beforeAll(() => new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve)));
afterAll(() => server.close());

/** All that a command prints and reports, and how it ended. */
async function outputOf(host: MemoryHost, command: (report: string) => Promise<number>): Promise<string> {
  const written: string[] = [];
  sent = '';
  const collect = (text: unknown): boolean => {
    written.push(String(text));
    return true;
  };
  const spies = [process.stdout, process.stderr].map((stream) => vi.spyOn(stream, 'write').mockImplementation(collect));
  try {
    written.push(`ended with ${await command('/migration/report.json')}`);
  } catch (thrown) {
    // As the command line would print it.
    const { reportThrown } = await import('@migrate/core');
    reportThrown('migrate', thrown, { write: collect });
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return `${written.join('')}${(await host.readText('/migration/report.json')) ?? ''}${sent}`;
}

type Command = readonly [name: string, run: (host: MemoryHost, json: boolean, report: string) => Promise<number>];
const options = (json: boolean, report: string) => ({
  json,
  report,
  config: '/migration/balena-migrate.yml',
  workDir: workDirectory,
});
const commands: readonly Command[] = [
  ['facts', (host) => printFacts(host)],
  ['validate', (host, json) => validate(host, '/migration/balena-migrate.yml', { json })],
  ['pretend', (host, json, report) => migrate(host, { ...options(json, report), mode: 'pretend' })],
  ['immediate', (host, json, report) => migrate(host, { ...options(json, report), yes: true })],
  ['explain', (host, json, report) => explain(host, { ...options(json, report), facts: '/migration/facts.json' })],
  ['status', (host, json) => status(host, { json })],
  ['undo', (host, json, report) => undo(host, options(json, report))],
];

/** In "https://user:…", where damage makes a URL that is none. */
const schemeOfVpn = (inputs['/migration/config.json'] ?? '').indexOf('https://user') + 3;

describe('no secret of any input is in what migrate prints or reports', () => {
  it.each(commands)('%s', async (name, run) => {
    for (const json of [false, true]) {
      const host = machine();
      const facts = await outputOf(host, () => printFacts(host));
      const withFacts = machine({ '/migration/facts.json': facts.slice(0, facts.lastIndexOf('ended with')) });
      const output = await outputOf(withFacts, (report) => run(withFacts, json, report));
      expect(output).not.toContain('CANARY');
      expect(output).toMatch(/ended with \d/);
      // Nothing was cut short by a command that fell over.
      expect(output).not.toContain('this is a bug');
      if (name === 'pretend') expect(sent).toContain('"hostname":"box"');
      if (name === 'validate') expect(output).toContain(`ended with ${exitCodes.done}`);
    }
  });

  it('nor where an input is damaged anywhere', { timeout: 60_000 }, async () => {
    const name = fc.constantFrom(...Object.keys(inputs).filter((path) => /CANARY/.test(inputs[path] ?? '')));
    const damage = fc.tuple(
      fc.nat(1000),
      fc.nat(40),
      fc.constantFrom('', '\n', '"', ': ', '{', '\t', '  ', '=', '\u0000'),
    );
    await fc.assert(
      fc.asyncProperty(name, damage, fc.boolean(), async (path, [place, length, added], json) => {
        const text = inputs[path] ?? '';
        const from = place % text.length;
        // A secret that has lost its name is told from an SSID or a host by nobody.
        const named = [...text.matchAll(/(?:[\w-]+["']?\s*[=: ]\s*["']?|\/\/\w+:)CANARY\w+@?/g)];
        fc.pre(named.every(({ index, 0: all }) => from + length <= index || from >= index + all.length));
        const host = machine({ [path]: text.slice(0, from) + added + text.slice(from + length) });
        // A damaged configuration could name any server.
        for (const [, run] of path.endsWith('.yml') && path.startsWith('/migration')
          ? commands.slice(1, 2)
          : commands.slice(1, 4)) {
          const output = await outputOf(host, (report) => run(host, json, report));
          // Less than half of a secret would not be told from other text.
          expect(output).not.toMatch(/CANARY[a-z]+/);
        }
      }),
      { numRuns: 60, examples: [['/migration/config.json', [schemeOfVpn, 2, '='], false]] },
    );
  });
});
