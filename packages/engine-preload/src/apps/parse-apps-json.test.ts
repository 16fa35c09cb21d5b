import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { appsJson, appUuid, releaseUuid, service } from './apps-fixture.ts';
import { parseAppsJson } from './parse-apps-json.ts';

const parse = (value: unknown, ids = {}) => parseAppsJson(JSON.stringify(value), 'apps.json', ids);
const faultsOf = (value: unknown) =>
  parse(value).findings.map(({ severity, code, where, message }) => `${severity} ${code} ${where}: ${message}`);
const inMain = `apps.json apps.${appUuid}.releases.${releaseUuid}.services.main`;

describe('apps.json', () => {
  it('passes in the form of today, with all that may be left out', () => {
    const full = appsJson({
      services: {
        main: service({
          running: false,
          contract: { type: 'sw.container' },
          composition: {
            restart: 'always',
            privileged: true,
            volumes: ['data:/data', '/anonymous', { type: 'tmpfs', target: '/run' }],
            networks: { inner: { aliases: ['x'] } },
            ports: ['80', '8080:80', '127.0.0.1:53:53/udp', '8000-8010:80-90'],
            dependsOn: ['db'],
          },
        }),
        db: service({ id: '12', image_id: '22', composition: { networkMode: 'host' } }),
      },
      volumes: { data: {} },
      networks: { inner: {} },
    });
    expect(parse({ ...full, pinDevice: true })).toEqual({ apps: { ...full, pinDevice: true }, findings: [] });
    const bare = {
      apps: { [appUuid]: { id: 1, name: '', releases: { a: { id: 1, services: { main: service() } } } } },
    };
    expect(parse(bare).findings).toEqual([]);
  });

  it('warns where it starts nothing', () => {
    expect(faultsOf({})).toEqual([
      'warning apps-empty apps.json apps: there is no service in it, so the device starts nothing before it is online',
    ]);
    expect(parse({}).apps).toEqual({});
  });

  it('names every fault at once', () => {
    const broken = appsJson({
      id: -1,
      services: {
        main: { image_id: 'x', image: 7, enviroment: {}, labels: { 'a b': 'c', d: 1 }, running: 'yes' },
        '-bad': service(),
      },
      volumes: { data: null },
    });
    expect(faultsOf({ ...broken, config: { 'a-b': 'c', d: 2 }, pinDevice: 1 })).toEqual([
      'error apps-name apps.json config.a-b: the name "a-b" must be letters, digits, "_" and ":", not beginning with a digit',
      'error apps-type apps.json config.d: must be text, not a number',
      `error apps-value apps.json apps.${appUuid}.releases.${releaseUuid}.id: must be from 0 to 999999999999999`,
      `error apps-name apps.json apps.${appUuid}.releases.${releaseUuid}.services.-bad: the name "-bad" must be letters, digits, "_", "." and "-", beginning with a letter or digit`,
      `error apps-missing ${inMain}.id: id is missing`,
      `error apps-missing ${inMain}.environment: environment is missing`,
      `error apps-value ${inMain}.image_id: must be a whole number that is not negative, of at most 15 digits`,
      `error apps-type ${inMain}.image: must be text, not a number`,
      `error apps-name ${inMain}.labels."a b": the name "a b" must be printable ASCII without blanks, quotes and backticks`,
      `error apps-type ${inMain}.labels.d: must be text, not a number`,
      `error apps-type ${inMain}.running: must be true or false, not text`,
      `error apps-type apps.json apps.${appUuid}.releases.${releaseUuid}.volumes.data: must be an object, { … }, not null`,
      'error apps-type apps.json pinDevice: must be true or false, not a number',
    ]);
    const missing = parse(broken).findings.find(({ where }) => where.endsWith('environment'));
    expect(missing?.hint).toBe('Is "enviroment" meant for it?');
  });

  it.each<[string, Record<string, unknown>, string]>([
    ['volume', { volumes: ['dta:/data'] }, 'error volumes[0]: there is no volume "dta" | Did you mean "data"?'],
    [
      'network',
      { networks: ['outer'] },
      'error networks: there is no network "outer" | Add it to networks of the release',
    ],
    [
      'service',
      { depends_on: ['nobody'] },
      'error depends_on: there is no service "nobody" | Add it to services of the release',
    ],
    [
      'mode',
      { network_mode: 'service:nobody' },
      'error network_mode: there is no service "nobody" | Add it to services of the release',
    ],
    ['port', { ports: ['eighty'] }, 'error ports[0]: this is no port | Write "80", "8080:80" or "8080-8090:80-90/udp"'],
    [
      'port as number',
      { ports: [80] },
      'error ports[0]: this is no port | Write "80", "8080:80" or "8080-8090:80-90/udp"',
    ],
    [
      'port of nothing',
      { ports: ['127.0.0.1::80'] },
      'error ports[0]: there is no port before the colon | Write "80", or "8080:80"',
    ],
    [
      'ranges',
      { ports: ['1-3:1-2'] },
      'error ports[0]: the two ranges of ports are not of the same length | Make them equal',
    ],
    ['ports beyond', { ports: ['70000:80'] }, 'error ports[0]: there is no such port | Ports end at 65535'],
    [
      'map of dependencies',
      { depends_on: { main: {} } },
      'error depends_on: must be a list of services; the supervisor fails on any other form | Write ["name", …]',
    ],
    [
      'bind',
      { volumes: ['/run:/run'] },
      'warning volumes[0]: the supervisor ignores bind mounts | Use a named volume, or a label such as io.balena.features.dbus for what belongs to the system',
    ],
    ['field', { logging: {} }, 'warning logging: the supervisor ignores "logging" | Remove it'],
    [
      'policy',
      { restart: 'sometimes' },
      'warning restart: the supervisor takes "always" for this | Write one of no, always, on-failure, unless-stopped',
    ],
    [
      'itself',
      { depends_on: ['main'] },
      'error : these services wait for each other and would never start: main -> main | Remove one of them from depends_on or network_mode',
    ],
  ])('finds what does not fit: %s', (_name, composition, expected) => {
    const { findings } = parse(appsJson({ services: { main: service({ composition }) }, volumes: { data: {} } }));
    expect(
      findings.map(
        ({ severity, where, message, hint }) =>
          `${severity} ${where.split('composition.')[1] ?? ''}: ${message} | ${hint}`,
      ),
    ).toEqual([expected]);
  });

  it('finds a circle among others', () => {
    const waits = (...names: string[]) => service({ composition: { depends_on: names } });
    const services = {
      a: waits('b'),
      b: waits('c'),
      c: service({ composition: { networkMode: 'service:b' } }),
      d: waits(),
    };
    expect(faultsOf(appsJson({ services }))[0]).toMatch(/would never start: b -> c -> b$/);
  });

  it.each([
    ['Busybox', 'not the name of an image'],
    [`sha256:${'a'.repeat(64)}`, 'the id of an image'],
    ['', 'not the name of an image'],
  ])('refuses the image %j', (image, message) => {
    expect(faultsOf(appsJson({ services: { main: service({ image }) } }))[0]).toContain(message);
  });

  it('speaks of several releases, fleets and equal ids', () => {
    const file = appsJson() as { apps: Record<string, { releases: Record<string, unknown> }> };
    const app = file.apps[appUuid];
    const two = { ...file.apps, other: { ...app, releases: { ...app?.releases, second: { id: 2 } } } };
    expect(faultsOf({ ...file, apps: two }).map((text) => text.split(' ').slice(0, 2).join(' '))).toEqual([
      'warning apps-releases',
      'error apps-id',
      'warning apps-fleets',
    ]);
  });
});

describe('older forms', () => {
  const v2 = {
    config: {},
    apps: {
      '41': {
        name: 'fleet',
        commit: releaseUuid,
        releaseId: 31,
        services: {
          '11': {
            imageId: 21,
            serviceName: 'main',
            image: 'redis:7',
            environment: {},
            labels: {},
            restart: 'no',
            volumes: ['data:/data'],
          },
        },
        volumes: { data: {} },
        networks: {},
      },
    },
  };
  const v3 = appsJson({
    services: {
      main: {
        id: '11',
        image_id: 21,
        image: 'redis:7',
        environment: {},
        labels: {},
        composition: { restart: 'no', volumes: ['data:/data'] },
      },
    },
    volumes: { data: {} },
  });

  it('converts v2 where the uuid is known', () => {
    expect(parse(v2, { appUuid })).toEqual({ apps: { ...v3, config: {} }, findings: [] });
    expect(parse(v2, { appUuid: new Map([[41, appUuid]]) }).apps).toEqual({ ...v3, config: {} });
  });

  it.each<[string, unknown, object, RegExp]>([
    ['without a uuid', v2, {}, /only read with the internet/],
    ['with a number for a uuid', v2, { appUuid: '1234' }, /the uuid is a number/],
    ['mixed', { apps: { ...v2.apps, [appUuid]: {} } }, { appUuid: new Map([[41, 'a']]) }, /refuses both forms/],
    [
      'two apps of one uuid',
      { apps: { ...v2.apps, 42: {} } },
      {
        appUuid: new Map([
          [41, 'a'],
          [42, 'a'],
        ]),
      },
      /same uuid/,
    ],
    ['an array', [{ appId: 1, commit: 'c', imageId: 'i' }], {}, /form of before 2018/],
    ['v2 without a release', { apps: { 41: { name: 'a' } } }, { appUuid }, /at least one entry/],
  ])('refuses %s', (_name, value, ids, message) => {
    const { apps, findings } = parse(value, ids);
    expect(apps).toBeUndefined();
    expect(findings.map((finding) => finding.message).join('\n')).toMatch(message);
  });
});

describe('hostile files', () => {
  it.each<[string, string, string]>([
    ['no text', ' \n', 'apps-empty'],
    ['not JSON', '{"apps": {,}}', 'apps-syntax'],
    ['too large', `"${'x'.repeat(5 * 1024 * 1024)}"`, 'apps-too-large'],
    ['too deep', '['.repeat(100_000) + ']'.repeat(100_000), 'apps-too-deep'],
    ['deep and broken', '['.repeat(100_000), 'apps-syntax'],
    ['UTF-16', '\ufffd{\0}', 'apps-encoding'],
    ['a byte order mark', '\ufeff{}', 'apps-encoding'],
    ['a number', '7', 'apps-type'],
    ['null', 'null', 'apps-type'],
    ['prototype keys', '{"apps": {"__proto__": {"id": 1, "name": "x", "releases": {"a": {"id": 1}}}}}', 'apps-name'],
    [
      'many faults',
      JSON.stringify({ config: Object.fromEntries(Array.from({ length: 20_000 }, (_, i) => [`k${i}`, i])) }),
      'apps-more',
    ],
  ])('%s', (_name, text, code) => {
    const start = performance.now();
    const { apps, findings } = parseAppsJson(text, 'apps.json');
    expect(performance.now() - start).toBeLessThan(3000);
    expect(apps).toBeUndefined();
    expect(findings.map((finding) => finding.code)).toContain(code);
    expect(findings.length).toBeLessThanOrEqual(101);
  });

  it('no data makes it throw, and a sound result passes again', () => {
    const key = fc.oneof(
      fc.constantFrom(
        'apps',
        'config',
        'releases',
        'services',
        'id',
        'image',
        'composition',
        '__proto__',
        'constructor',
        '12',
        appUuid,
      ),
      fc.string(),
    );
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 6 },
        fc.string(),
        fc.double({ noNaN: true }),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(key, tie('value'), { maxKeys: 4 }),
      ),
    }));
    const composition = fc.dictionary(
      fc.constantFrom(
        'ports',
        'volumes',
        'networks',
        'depends_on',
        'dependsOn',
        'network_mode',
        'devices',
        'restart',
        'x',
      ),
      value,
    );
    const file = fc.oneof(
      value,
      composition.map((fields) => appsJson({ services: { main: service({ composition: fields }) } })),
    );
    fc.assert(
      fc.property(file, (data) => {
        const { apps, findings } = parse(data);
        expect(apps === undefined).toBe(findings.some(({ severity }) => severity === 'error'));
        if (apps !== undefined) expect(parse(apps).apps).toEqual(apps);
        expect(({} as Record<string, unknown>).id).toBeUndefined();
      }),
      { numRuns: 500 },
    );
  });
});
