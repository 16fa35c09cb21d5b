import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { jsonFaultOffset } from '../config/json-fault.ts';
import { parseConfigJson } from './config-json.ts';

const current = {
  applicationId: 1234567,
  deviceType: 'genericx86-64-ext',
  apiEndpoint: 'https://api.example.com',
  apiKey: 'canary-api-key',
  developmentMode: true,
};
/** A file of 2019: numbers as text, and many keys that are gone today. */
const old = {
  applicationName: 'fleet',
  applicationId: '1234567',
  deviceType: 'raspberrypi3',
  userId: '12',
  username: 'somebody',
  appUpdatePollInterval: '600000',
  listenPort: '48484',
  vpnPort: '443',
  apiEndpoint: 'https://api.example.com',
  vpnEndpoint: 'vpn.example.com',
  registryEndpoint: 'registry2.example.com',
  deltaEndpoint: 'https://delta.example.com',
  pubnubSubscribeKey: '',
  pubnubPublishKey: '',
  mixpanelToken: 'canary-token',
  apiKey: 'canary-api-key',
  wifiSsid: 'home',
  wifiKey: 'canary-wifi',
};
const parse = (value: unknown) => parseConfigJson(JSON.stringify(value), 'config.json');
const codesOf = (text: string): string[] =>
  parseConfigJson(text, 'config.json').findings.map(({ code, where }) => `${code} ${where}`);

describe('accepted', () => {
  test('a file of today', () => {
    expect(parse(current)).toEqual({
      configJson: {
        deviceType: 'genericx86-64-ext',
        applicationId: 1234567,
        apiEndpoint: 'https://api.example.com',
        hasProvisioningKey: true,
        hasDeviceKey: false,
      },
      findings: [],
    });
  });

  test('a file of 2019', () => {
    expect(parse(old)).toMatchObject({
      findings: [],
      configJson: { applicationId: 1234567, applicationName: 'fleet' },
    });
  });

  test('the file of a registered device', () => {
    const { apiKey: _, ...rest } = current;
    expect(parse({ ...rest, uuid: 'ab'.repeat(16), deviceApiKey: 'canary-device' })).toMatchObject({
      findings: [],
      configJson: { uuid: 'ab'.repeat(16), hasProvisioningKey: false, hasDeviceKey: true },
    });
  });

  test('a server of one’s own, and null for what is not there', () => {
    expect(
      parse({ ...current, apiEndpoint: 'https://api.local:8443/x', uuid: null, deviceApiKey: null }).findings,
    ).toEqual([]);
  });
});

describe('refused', () => {
  test.each<[string, object, string[]]>([
    ['no endpoint', { apiEndpoint: undefined }, ['config-json-missing config.json apiEndpoint']],
    ['http', { apiEndpoint: 'http://api.example.com' }, ['config-json-value config.json apiEndpoint']],
    ['no host', { apiEndpoint: 'https://' }, ['config-json-value config.json apiEndpoint']],
    ['no device type', { deviceType: null }, ['config-json-missing config.json deviceType']],
    ['empty device type', { deviceType: '' }, ['config-json-value config.json deviceType']],
    ['no fleet', { applicationId: undefined }, ['config-json-missing config.json applicationId']],
    ['fleet by name', { applicationId: 'fleet' }, ['config-json-value config.json applicationId']],
    ['fleet 0', { applicationId: 0 }, ['config-json-value config.json applicationId']],
    ['fleet 1.5', { applicationId: 1.5 }, ['config-json-value config.json applicationId']],
    ['no key', { apiKey: undefined }, ['config-json-key-missing config.json apiKey']],
    ['uuid without its key', { apiKey: null, uuid: 'ab'.repeat(31) }, ['config-json-key-missing config.json apiKey']],
    ['key without its uuid', { apiKey: null, deviceApiKey: 'canary' }, ['config-json-key-missing config.json apiKey']],
    ['uuid of another length', { uuid: 'ab' }, ['config-json-value config.json uuid']],
    ['uuid in upper case', { uuid: 'AB'.repeat(16) }, ['config-json-value config.json uuid']],
    ['empty key', { apiKey: ' ' }, ['config-json-value config.json apiKey']],
    ['key of another type', { apiKey: 123456 }, ['config-json-value config.json apiKey']],
    [
      'everything',
      { apiEndpoint: null, deviceType: 1, applicationId: [], apiKey: null, uuid: {} },
      [
        'config-json-missing config.json apiEndpoint',
        'config-json-value config.json deviceType',
        'config-json-value config.json applicationId',
        'config-json-value config.json uuid',
        'config-json-key-missing config.json apiKey',
      ],
    ],
  ])('%s', (_name, changes, codes) => {
    const { configJson, findings } = parse({ ...current, ...changes });
    expect(configJson).toBeUndefined();
    expect(findings.map(({ code, where }) => `${code} ${where}`)).toEqual(codes);
  });

  test.each<[string, string, string]>([
    ['empty', ' \n', 'config-json-empty config.json'],
    ['a list', '[]', 'config-json-type config.json'],
    ['text', '"canary"', 'config-json-type config.json'],
    ['null', 'null', 'config-json-type config.json'],
    ['a page of HTML', '<html>canary</html>', 'config-json-syntax config.json:1:1'],
    ['a comma too many', '{\n  "apiKey": "canary",\n}', 'config-json-syntax config.json:3:1'],
    ['no comma', '{\n  "apiKey": "canary"\n  "uuid": 1}', 'config-json-syntax config.json:3:3'],
    ['cut short', '{\n  "apiKey": "canary', 'config-json-syntax config.json:2:13'],
    ['cut after a value', '{"apiKey": "canary"', 'config-json-syntax config.json:1:20'],
    ['single quotes', "{'apiKey': 'canary'}", 'config-json-syntax config.json:1:2'],
    ['more after the end', '{"apiKey": "canary"} x', 'config-json-syntax config.json:1:22'],
    ['a number like 01', '{"apiKey": 01}', 'config-json-syntax config.json:1:12'],
    ['deep', '['.repeat(100_000), 'config-json-syntax config.json:1:100001'],
    ['large', ' '.repeat(300_000), 'config-json-too-large config.json'],
    ['a byte order mark', '\ufeff{}', 'config-json-encoding config.json'],
    ['Latin-1', '{"hostname": "\ufffd"}', 'config-json-encoding config.json:1:15'],
  ])('%s', (_name, text, expected) => {
    expect(codesOf(text)).toEqual([expected]);
    expect(JSON.stringify(parseConfigJson(text, 'config.json'))).not.toContain('canary');
  });
});

test('whatever is broken, no value gets into a finding', () => {
  const sample = JSON.stringify({ ...old, uuid: 'canary-uuid', deviceApiKey: 'canary-device' }, null, 1).replaceAll(
    /canary[a-z-]*/g,
    'canary',
  );
  fc.assert(
    fc.property(fc.nat(sample.length), fc.nat(30), fc.string({ maxLength: 3 }), (at, cut, put) => {
      const { findings } = parseConfigJson(sample.slice(0, at) + put + sample.slice(at + cut), 'config.json');
      expect(JSON.stringify(findings)).not.toMatch(/canar|anary|example\.com|1234567/);
    }),
    { numRuns: 1000 },
  );
});

test('any text gives findings or a result, never an exception', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      const { configJson, findings } = parseConfigJson(text, 'c');
      expect(configJson === undefined).toBe(findings.length > 0);
    }),
    { numRuns: 1000 },
  );
  expect(({} as Record<string, unknown>).deviceType).toBeUndefined();
  expect(codesOf('{"__proto__": {"deviceType": "x", "apiKey": "y"}}').length).toBe(4);
});

test('the place of a JSON fault is never after the first character that JSON.parse objects to', () => {
  const piece = fc.constantFrom('{', '}', '[', ']', ',', ':', '"a"', '1', '-', 'true', 'nul', ' ', '\n', '"', '\\');
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const text = pieces.join('');
      const offset = jsonFaultOffset(text);
      try {
        JSON.parse(text);
        expect(offset).toBe(text.length);
      } catch (thrown) {
        // V8 does not always say where; it names a place within the token that the offset is the start of.
        const position = /position (\d+)/.exec(String(thrown))?.[1];
        if (position !== undefined) expect(offset).toBeLessThanOrEqual(Number(position));
      }
    }),
    { numRuns: 1000 },
  );
});
