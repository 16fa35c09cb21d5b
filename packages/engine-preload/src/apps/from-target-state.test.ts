import { describe, expect, it } from 'vitest';
import { appsJson, appUuid } from './apps-fixture.ts';
import { appsFromTargetState, printAppsJson } from './from-target-state.ts';
import { parseAppsJson } from './parse-apps-json.ts';

const file = appsJson();
const read = (value: unknown, options = {}) => appsFromTargetState(JSON.stringify(value), 'state.json', options);
const device = { name: 'my device', ...file, other: 1 };

describe('a downloaded target state', () => {
  it.each<[string, unknown]>([
    ['local, as the dashboard shows it', { local: device, dependent: {} }],
    ['of one device, as the API v3 gives it', { '0123456789abcdef0123456789abcdef': device }],
    ['under state, as the supervisor gives it', { status: 'success', state: { local: device } }],
    ['alone', device],
  ])('%s', (_name, value) => expect(read(value)).toEqual({ apps: file, findings: [] }));

  it('prints what parses to the same', () => {
    const { apps } = read({ local: device }, { pinDevice: true });
    expect(apps).toEqual({ ...file, pinDevice: true });
    expect(parseAppsJson(printAppsJson(apps ?? {}), 'apps.json').apps).toEqual(apps);
  });

  it('leaves out the system, the supervisor and what has no release', () => {
    const apps = {
      ...(file.apps as object),
      '52e35121417640b1b28a680504e4039b': { id: 1, name: 'supervisor', class: 'app', releases: {} },
      host: { id: 2, name: 'os', class: 'app', is_host: true, releases: { a: { id: 1 } } },
      empty: { id: 3, name: 'none', class: 'fleet', releases: {} },
    };
    const result = read({ local: { ...device, apps } });
    expect(result.apps).toEqual(file);
    expect(result.findings.map(({ severity, message }) => `${severity}: ${message}`)).toEqual([
      'warning: left out: it is the supervisor, which the system brings along',
      'warning: left out: it is the system itself',
      'warning: left out: it has no release',
    ]);
  });

  it.each<[string, unknown, object, RegExp]>([
    ['two devices', { a: device, b: device }, {}, /of 2 devices/],
    ['another device', { a: device }, { deviceUuid: 'b' }, /not in it/],
    ['something else', { kind: 'x' }, {}, /no apps in it/],
    ['a list', [device], {}, /not a target state/],
    [
      'the older form',
      { local: { config: {}, apps: { 1: { name: 'a', commit: 'c' } } } },
      {},
      /only read with the internet/,
    ],
    ['a broken app', { local: { apps: { [appUuid]: { name: 'a', releases: { b: {} } } } } }, {}, /id is missing/],
    ['apps that are none', { local: { apps: [] } }, {}, /must be an object/],
  ])('refuses %s', (_name, value, options, message) => {
    const { apps, findings } = read(value, options);
    expect(apps).toBeUndefined();
    expect(findings.map((finding) => finding.message).join('\n')).toMatch(message);
  });

  it('takes the device asked for', () => {
    expect(read({ a: { apps: {} }, b: device }, { deviceUuid: 'b' }).apps).toEqual(file);
  });
});
