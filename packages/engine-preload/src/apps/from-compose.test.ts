import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { appUuid, digest, images, releaseUuid } from './apps-fixture.ts';
import { appsFromCompose, type ComposeOptions } from './from-compose.ts';
import { printAppsJson } from './from-target-state.ts';
import { parseAppsJson } from './parse-apps-json.ts';
import { servicesOf } from './services-of.ts';

const options: ComposeOptions = { images };
const read = (text: string, more: Partial<ComposeOptions> = {}) =>
  appsFromCompose(text, 'c.yml', { ...options, ...more });
const faultsOf = (text: string) =>
  read(text).findings.map(({ severity, code, where, message }) => `${severity} ${code} ${where}: ${message}`);
/** The composition that one service of these lines gets. */
function compositionOf(lines: string) {
  const text = `services:\n  main:\n    image: redis:7\n    ${lines.split('\n').join('\n    ')}\nvolumes: { data: }\nnetworks: { inner: }\n`;
  const { apps, findings } = read(text);
  return { findings, service: apps === undefined ? undefined : servicesOf(apps)[0]?.service };
}

const sample = `version: "2.1"
name: greenhouse
x-common: &common
  restart: unless-stopped
  environment: &variables { TZ: UTC, VERSION: 1.10 }
services:
  web:
    <<: *common
    build: ./web
    image: redis:7
    depends_on: [store]
    ports:
      - 80
      - "8080:81/tcp"
      - { target: 53, published: 5353, host_ip: 127.0.0.1, protocol: udp }
    labels:
      io.balena.features.dbus: '1'
    environment:
      <<: *variables
      PRICE: 5$$
      EMPTY: ""
    volumes:
      - data:/data
      - { type: volume, source: data, target: /ro, read_only: true }
      - { type: tmpfs, target: /run }
    networks: { inner: { aliases: [www] }, default: }
  store:
    <<: *common
    image: '${digest('1').slice(7, 20)}'
    command: ["serve", "--port", 6379]
    environment: [A=b=c, D=]
    user: 1000
    mem_limit: 64m
    sysctls: [net.core.somaxconn=1024]
    extra_hosts: { gateway: 10.0.0.1 }
    ulimits: { nofile: { soft: 1024, hard: 2048 }, nproc: 65535 }
volumes:
  data:
networks:
  inner:
    driver: bridge
    labels: [purpose=inside]
`;

describe('a compose file', () => {
  it('becomes apps.json', async () => {
    const { apps, findings } = read(sample);
    expect(findings).toEqual([]);
    const text = printAppsJson(apps ?? {});
    await expect(text).toMatchFileSnapshot('../../../../fixtures/apps/greenhouse.apps.json');
    expect(parseAppsJson(text, 'apps.json')).toEqual({ apps, findings: [] });
  });

  it('gives the same for the same, and another release for another content', () => {
    const [first, again, changed] = [sample, sample, sample.replace('64m', '65m')].map(
      (text) => read(text).apps?.apps ?? {},
    );
    expect(again).toEqual(first);
    const releases = (apps = {}) =>
      Object.values(apps as Record<string, { releases: object }>).flatMap((app) => Object.keys(app.releases));
    expect(Object.keys(changed ?? {})).toEqual(Object.keys(first ?? {}));
    expect(releases(changed)).not.toEqual(releases(first));
  });

  it('takes the ids of the fleet', () => {
    const { apps } = read('services: { main: { image: redis:7 } }', {
      appName: 'fleet',
      appUuid,
      appId: 41,
      releaseUuid,
      releaseId: 31,
      running: false,
      pinDevice: true,
    });
    const [app] = Object.values(apps?.apps ?? {});
    expect([Object.keys(apps?.apps ?? {}), app?.id, app?.name, apps?.pinDevice]).toEqual([
      [appUuid],
      41,
      'fleet',
      true,
    ]);
    expect(app?.releases[releaseUuid]?.id).toBe(31);
    expect(app?.releases[releaseUuid]?.services?.main?.running).toBe(false);
  });
});

it('words of the supervisor: a long volume that is read-only, the start of a health check', () => {
  const { service } = compositionOf(
    'volumes: [{ type: volume, source: data, target: /d, read_only: true, volume: { nocopy: true } }]\nhealthcheck: { test: "true", start_period: 5s }',
  );
  expect(service?.composition).toEqual({
    volumes: [{ type: 'volume', source: 'data', target: '/d', volume: { nocopy: true }, readOnly: true }],
    healthcheck: { test: 'true', startPeriod: '5s' },
  });
});

describe('what does not reach a container', () => {
  it('is named at its place, all at once', () => {
    const text = `version: '1'
services:
  a:
    container_name: x
    env_file: .env
    imge: redis:7
    privileged: "yes"
    environment:
      - NAME
  b:
    image: redis:$TAG
    depends_on: { a: { condition: service_healthy } }
secrets: {}
volumes:
  data: { external: true }
`;
    expect(faultsOf(text)).toEqual([
      'warning compose-ignored c.yml:4:5 services.a.container_name: container_name has no effect: the supervisor names containers itself',
      'error compose-unsupported c.yml:5:5 services.a.env_file: env_file is not supported on balenaOS',
      'error compose-unknown-setting c.yml:6:5 services.a.imge: there is no field "imge" here',
      'error compose-type c.yml:7:5 services.a.privileged: must be true or false, not the text "yes"',
      'error compose-unsupported c.yml:13:1 secrets: secrets is not supported on balenaOS',
      'error compose-unsupported c.yml:15:11 volumes.data.external: external is not supported on balenaOS, where volumes and networks belong to one app',
    ]);
    const formMended = text.replace('    imge: redis:7\n', '').replace('"yes"', 'true');
    expect(faultsOf(formMended)).toEqual([
      'error compose-value c.yml:1:1 version: the version "1" is not known',
      'error compose-missing c.yml:3:3 services.a.image: the service "a" has no image',
      'warning compose-ignored c.yml:4:5 services.a.container_name: container_name has no effect: the supervisor names containers itself',
      'error compose-unsupported c.yml:5:5 services.a.env_file: env_file is not supported on balenaOS',
      'error compose-value c.yml:8:9 services.a.environment[0]: it has no value',
      'error compose-variable c.yml:10:5 services.b.image: a variable ($NAME) stands here, and nothing would fill it in',
      'error compose-image c.yml:10:5 services.b.image: this is not the name of an image, and the supervisor would start nothing at all',
      'warning compose-ignored c.yml:11:19 services.b.depends_on.a: the supervisor waits until this service is started, and for nothing more',
      'error compose-unsupported c.yml:12:1 secrets: secrets is not supported on balenaOS',
      'error compose-unsupported c.yml:14:11 volumes.data.external: external is not supported on balenaOS, where volumes and networks belong to one app',
    ]);
  });

  it.each<[string, string]>([
    ['ports: ["1-3:1"]', 'error compose-value c.yml:4:13 services.main.ports[0]'],
    ['volumes: [/var/run:/x]', 'warning compose-ignored c.yml:4:15 services.main.volumes[0]'],
    ['volumes: [other:/x]', 'error compose-reference c.yml:4:15 services.main.volumes[0]'],
    ['network_mode: service:x', 'error compose-reference c.yml:4:5 services.main.network_mode'],
    ['depends_on: [main]', 'error compose-circle c.yml:1:1 services'],
    ['environment: { a-b: c }', 'error compose-name c.yml:4:20 services.main.environment.a-b'],
    [
      'ports: [{ target: 80, mode: host, published: 80 }]',
      'warning compose-ignored c.yml:4:27 services.main.ports[0].mode',
    ],
    ['ports: [{ target: 80, host_ip: 127.0.0.1 }]', 'error compose-value c.yml:4:13 services.main.ports[0]'],
    ['restart: sometimes', 'warning compose-ignored c.yml:4:5 services.main.restart'],
    ['healthcheck: { tset: x }', 'error compose-unknown-setting c.yml:4:20 services.main.healthcheck.tset'],
  ])('%s', (lines, expected) => {
    const { findings } = compositionOf(lines);
    expect(findings.map(({ severity, code, where }) => `${severity} ${code} ${where}`)).toEqual([expected]);
  });

  it.each([
    ['', 'compose-missing'],
    ['services: {}', 'compose-value'],
    ['version: "3"', 'compose-missing'],
    ['services: [a]', 'compose-type'],
    ['services: { "a b": { image: redis:7 } }', 'compose-name'],
    ['services: { main: }', 'compose-missing'],
    ['a: &a [*a]', 'compose-alias'],
    ['{', 'compose-syntax'],
  ])('%j is refused', (text, code) => {
    const { apps, findings } = read(text);
    expect(apps).toBeUndefined();
    expect(findings.map((finding) => finding.code)).toContain(code);
  });

  it('no text makes it throw, and what it makes is sound', () => {
    const word = fc.constantFrom(
      'services',
      'volumes',
      'image',
      'redis:7',
      'main',
      'ports',
      '80',
      '<<',
      '*a',
      '&a',
      '$X',
      '__proto__',
      'networks',
      'depends_on',
      ':',
      ': ',
      '\n',
      '\n  ',
      '\n    ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      ',',
      '"',
      '~',
    );
    fc.assert(
      fc.property(fc.array(fc.oneof(word, fc.string({ maxLength: 4 })), { maxLength: 30 }), (parts) => {
        const { apps, findings } = read(parts.join(''));
        expect(apps === undefined).toBe(findings.some(({ severity }) => severity === 'error'));
      }),
      { numRuns: 500 },
    );
    const scalar = fc.oneof(fc.string({ maxLength: 8 }), fc.integer(), fc.boolean(), fc.constant(null));
    const value = fc.oneof(
      scalar,
      fc.array(scalar, { maxLength: 3 }),
      fc.dictionary(fc.string({ maxLength: 5 }), scalar, { maxKeys: 3 }),
    );
    const field = fc.constantFrom(
      'ports',
      'volumes',
      'networks',
      'environment',
      'labels',
      'depends_on',
      'command',
      'sysctls',
      'user',
      'tmpfs',
      'ulimits',
      'healthcheck',
    );
    fc.assert(
      fc.property(fc.dictionary(field, value), (fields) => {
        const { apps, findings } = read(JSON.stringify({ services: { main: { image: 'redis:7', ...fields } } }));
        expect(apps === undefined).toBe(findings.some(({ severity }) => severity === 'error'));
        if (apps !== undefined) expect(parseAppsJson(printAppsJson(apps), 'apps.json').apps).toEqual(apps);
      }),
      { numRuns: 500 },
    );
  });
});
