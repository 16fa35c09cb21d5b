import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import {
  checkCloud,
  createNodeHost,
  createNodeHttp,
  type Event,
  parseCloudAccess,
  parseConfig,
  readDeviceVariable,
  reportProvisioning,
} from '@migrate/core';
import { type FetchImageRequest, fetchImage, findFetchedImage } from '@migrate/image-tools';
import fc from 'fast-check';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { makeFlasher } from '../images/flasher-image.ts';
import { type BalenaServer, canaryKey, configJsonFor, type DownloadFault, startBalenaServer } from './balena-server.ts';
import { type Certificates, makeCertificates } from './certificates.ts';
import { smallImage } from './small-image.ts';

const mebibyte = 1024 * 1024;
const host = createNodeHost();
let certificates: Certificates;
let directory: string;
/** Larger than what is written between two records of a download. */
let image: Buffer;
/** Three smaller ones; packed without compression, the first two have one size. */
let plain: readonly Buffer[];
let small: readonly Buffer[];
let other: Buffer;
let server: BalenaServer;
let target: string;
let events: Event[];

beforeAll(() => {
  certificates = makeCertificates();
  directory = mkdtempSync(join(tmpdir(), 'fetch-'));
  image = gzipSync(smallImage(directory, { deviceType: 'intel-nuc', noiseMib: 20 }), { level: 1 });
  plain = [1, 1, 3].map((noiseMib) => smallImage(directory, { deviceType: 'intel-nuc', noiseMib }));
  small = plain.map((bytes) => gzipSync(bytes, { level: 1 }));
  other = small[2] ?? image;
});
afterAll(() => rmSync(directory, { recursive: true }));
beforeEach(async () => {
  server = await startBalenaServer(certificates, image);
  target = mkdtempSync(join(directory, 'work-'));
  events = [];
});
afterEach(async () => {
  await server.close();
  rmSync(target, { recursive: true });
});

const accessOf = (more: object = {}) => parseCloudAccess(configJsonFor(server, certificates, more), 'config.json');
const httpOf = () => createNodeHttp({ authority: certificates.authority, env: {} });
const fetch = (more: Partial<FetchImageRequest> = {}) =>
  fetchImage({
    host,
    http: httpOf(),
    access: accessOf(),
    version: '^5',
    directory: target,
    emit: (event) => events.push(event),
    limits: { firstRetryMs: 1, attempts: 4, idleMs: 1000, slowMs: 1000, slowBytes: 1000, reserveBytes: 0 },
    ...more,
  });
const name = 'balena-cloud-intel-nuc-5.1.20+rev1.img.gz';
const downloads = () => server.requests.filter(({ url }) => url.startsWith('/download'));

describe('an image', () => {
  it('is chosen, fetched and proven, and lies alone under the name that the dashboard gives it', async () => {
    server.sendsDigest = true;
    expect(await fetch()).toEqual({ path: `${target}/${name}`, version: '5.1.20+rev1', isNew: true });
    expect(readdirSync(target)).toEqual([name]);
    expect(readFileSync(join(target, name)).equals(image)).toBe(true);
    expect(statSync(join(target, name)).mode & 0o777).toBe(0o644);
    expect(downloads()).toMatchObject([
      {
        url: '/download?deviceType=intel-nuc&version=5.1.20%2Brev1&fileType=.gz',
        headers: { authorization: `Bearer ${canaryKey}` },
      },
    ]);
    expect(events.filter(({ kind }) => kind === 'progress').length).toBeGreaterThan(10);
    expect(JSON.stringify(events)).not.toContain(canaryKey);
    expect(await fetch()).toMatchObject({ isNew: false });
    expect(await findFetchedImage(host, { directory: target, deviceType: 'intel-nuc', version: 'latest' })).toBe(
      join(target, name),
    );
    expect(await findFetchedImage(host, { directory: target, deviceType: 'intel-nuc', version: '^4' })).toBeUndefined();
  });

  it('goes on where it was cut, also in another run', async () => {
    server.faults.push(
      { kind: 'cut', afterBytes: 18 * mebibyte },
      ...Array<DownloadFault>(4).fill({ kind: 'status', status: 503 }),
    );
    await expect(fetch()).rejects.toThrow(/given up after 4 attempts that brought nothing: status 503/);
    expect(readdirSync(target)).toEqual([`${name}.partial`]);
    expect(readdirSync(join(target, `${name}.partial`))).toEqual(['data', 'record.json']);
    await fetch();
    expect(readFileSync(join(target, name)).equals(image)).toBe(true);
    const range = downloads().at(-1)?.headers.range ?? '';
    expect(Number(/^bytes=(\d+)-$/.exec(range)?.[1])).toBeGreaterThanOrEqual(16 * mebibyte);
  });

  it('survives what servers do', async () => {
    server.faults.push(
      { kind: 'stall', afterBytes: 2 * mebibyte },
      { kind: 'trickle' },
      { kind: 'status', status: 429, retryAfter: '0' },
      { kind: 'cut', afterBytes: 3 * mebibyte },
      { kind: 'status', status: 416 },
      { kind: 'length', moreBytes: 1000 },
      { kind: 'ignore-range' },
    );
    await fetch();
    expect(readFileSync(join(target, name)).equals(image)).toBe(true);
    expect(server.faults).toEqual([]);
  });

  it('is the new one where it changes meanwhile, whatever the server says of it', async () => {
    server.faults.push({ kind: 'cut', afterBytes: mebibyte * 2 }, { kind: 'change', file: other });
    await fetch();
    expect(readFileSync(join(target, name)).equals(other)).toBe(true);
    rmSync(join(target, name));
    const [second, third] = plain.map((bytes) => gzipSync(bytes, { level: 0 }));
    if (second === undefined || third === undefined) throw new Error('no images');
    server.file = second;
    server.faults.push({ kind: 'cut', afterBytes: mebibyte * 2 }, { kind: 'change', file: third, keepsEtag: true });
    await fetch();
    expect(readFileSync(join(target, name)).equals(third)).toBe(true);
    expect(events.some((event) => 'text' in event && event.text.includes('is downloaded again'))).toBe(true);
  });

  it('that is none is refused, and leaves nothing behind', async () => {
    server.file = gzipSync(Buffer.alloc(5 * mebibyte));
    await expect(fetch()).rejects.toMatchObject({ code: 'wrong-image' });
    server.file = Buffer.from('<html>log in first</html>');
    await expect(fetch()).rejects.toMatchObject({ code: 'wrong-image' });
    server.file = image.subarray(0, image.length - 100);
    await expect(fetch()).rejects.toMatchObject({ code: 'invalid-input' });
    expect(readdirSync(target)).toEqual([]);
  });

  it('is not fetched over plain http, from an unknown server, or with a key that is not accepted', async () => {
    server.faults.push({ kind: 'redirect', location: 'http://localhost/image' });
    await expect(fetch()).rejects.toMatchObject({ code: 'unsupported' });
    await expect(fetch({ http: createNodeHttp({ env: {} }) })).rejects.toThrow('authority that is not trusted');
    await expect(fetch({ access: accessOf({ apiKey: 'other' }) })).rejects.toThrow('does not accept the key');
    await expect(fetch({ version: '^7' })).rejects.toThrow(
      'has no balenaOS ^7 for intel-nuc; released versions: 3, the newest is 5.1.20+rev1',
    );
    expect(readdirSync(target)).toEqual([]);
  });

  it('is asked for as a raw one where the device type has a flasher image, and taken out of one that comes all the same', async () => {
    server.contract = { data: { media: { defaultBoot: 'internal', altBoot: ['usb'] } } };
    const inner = join(target, 'inner.img');
    const small = smallImage(directory, { deviceType: 'intel-nuc', noiseMib: 1 });
    writeFileSync(inner, small);
    await makeFlasher(join(target, 'flasher.img'), { inner, deviceType: 'intel-nuc', directory: target });
    server.file = gzipSync(readFileSync(join(target, 'flasher.img')), { level: 1 });
    for (const file of ['inner.img', 'flasher.img']) rmSync(join(target, file));
    await fetch();
    expect(downloads()[0]?.url).toContain('imageType=raw');
    expect(readdirSync(target)).toEqual([name]);
    expect(gunzipSync(readFileSync(join(target, name))).equals(small)).toBe(true);
  });

  it('is asked for by POST where the API knows no GET', async () => {
    server.wantsPost = true;
    server.faults.push({ kind: 'cut', afterBytes: 2 * mebibyte });
    await fetch();
    expect(downloads().map(({ method, headers }) => [method, headers.range])).toEqual([
      ['GET', undefined],
      ['POST', undefined],
      ['POST', undefined],
    ]);
    expect(readFileSync(join(target, name)).equals(image)).toBe(true);
  });

  it('can be cancelled', async () => {
    const controller = new AbortController();
    server.faults.push({ kind: 'stall', afterBytes: 18 * mebibyte });
    const running = fetch({
      signal: controller.signal,
      emit: (event) => {
        if (event.kind === 'progress' && event.done > 17 * mebibyte) controller.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ code: 'cancelled' });
    expect(readdirSync(target)).toEqual([`${name}.partial`]);
  });
});

const fault = fc.oneof(
  fc.record({ kind: fc.constant('cut' as const), afterBytes: fc.nat(3 * mebibyte) }),
  fc.record({ kind: fc.constant('length' as const), moreBytes: fc.integer({ min: -5000, max: 5000 }) }),
  fc.record({ kind: fc.constant('status' as const), status: fc.constantFrom(429, 500, 503, 416, 404) }),
  fc.constantFrom<DownloadFault>({ kind: 'ignore-range' }, { kind: 'garbage' }),
  fc
    .boolean()
    .map((keepsEtag): DownloadFault => ({ kind: 'change', file: small[keepsEtag ? 0 : 1] ?? other, keepsEtag })),
);

it('whatever a server does, the file under the final name is one that it had, or there is none', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fault, { maxLength: 6 }), async (faults) => {
      Object.assign(server, { file: other, etag: '"first"' });
      server.faults.splice(0, server.faults.length, ...faults);
      await fetch().catch(() => {});
      const found = readdirSync(target).filter((file) => file === name);
      if (found.length > 0) {
        const file = readFileSync(join(target, name));
        expect(small.some((candidate) => candidate.equals(file))).toBe(true);
        rmSync(join(target, name));
      }
    }),
    { numRuns: 8 },
  );
});

describe('before a migration', () => {
  const settings = (yaml: string) => {
    const { config } = parseConfig(`balena:\n  check_timeout: 1\n${yaml}`, 'c.yml');
    if (config === undefined) throw new Error('no configuration');
    return config.balena;
  };

  it('API, key and VPN are tried', async () => {
    const all = settings('  api: { check_key: true }\n');
    expect(await checkCloud(httpOf(), accessOf(), all)).toEqual([]);
    expect(await checkCloud(httpOf(), accessOf({ apiKey: 'other' }), all)).toMatchObject([
      { severity: 'error', code: 'api-key' },
    ]);
    expect(await checkCloud(httpOf(), accessOf({ vpnPort: 1 }), all)).toMatchObject([
      { severity: 'warning', code: 'vpn-unreachable', where: 'localhost:1' },
    ]);
    expect(await checkCloud(createNodeHttp({ env: {} }), accessOf(), settings(''))).toMatchObject([
      { severity: 'error', code: 'api-unreachable', message: expect.stringContaining('authority that is not trusted') },
    ]);
    expect(await checkCloud(httpOf(), accessOf(), settings('  api: { port: 1 }\n'))).toMatchObject([
      { code: 'api-unreachable', where: 'https://localhost:1/ping' },
    ]);
    const none = settings('  check_vpn: false\n  api: { check: false, check_key: true }\n');
    expect(await checkCloud(createNodeHttp({ env: {} }), accessOf({ vpnPort: 1 }), none)).toEqual([]);
  });

  it('an API that hangs or is another server is found out in time', async () => {
    server.handle = () => {};
    expect(await checkCloud(httpOf(), accessOf(), settings(''))).toMatchObject([
      { code: 'api-unreachable', message: expect.stringContaining('did not answer within 1 seconds') },
    ]);
    server.handle = (_, response) => response.end('<html>log in first</html>');
    expect(await checkCloud(httpOf(), accessOf(), settings(''))).toMatchObject([
      { code: 'api-unreachable', message: expect.stringContaining('something answers with status 200') },
    ]);
  });

  it('a registered device says how far it is, and reads its variables', async () => {
    const access = accessOf({ uuid: '0123456789abcdef0123456789abcdef', deviceApiKey: canaryKey, apiKey: 'other' });
    const context = { http: httpOf(), access };
    await reportProvisioning(context, { progress: 12.6, state: 'Preparing' });
    expect(server.provisioning).toEqual([
      { provisioning_progress: 13, provisioning_state: 'Preparing', status: 'configuring' },
    ]);
    expect(decodeURIComponent(server.requests.at(-1)?.url ?? '')).toBe(
      "/v6/device(uuid='0123456789abcdef0123456789abcdef')",
    );
    server.variables.MIGRATE_GO_AHEAD = 'now';
    expect(await readDeviceVariable(context, 'MIGRATE_GO_AHEAD')).toBe('now');
    expect(await readDeviceVariable(context, 'OTHER')).toBeUndefined();
  });
});
