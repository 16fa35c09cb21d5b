import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { chooseHostname, withHostname } from './config-json-hostname.ts';

describe('a hostname', () => {
  test.each(['site-17-gateway', 'a', 'gw.example.com', 'X1'])('%s is kept', (hostname) => {
    expect(chooseHostname(hostname, '{"deviceType": "x"}')).toEqual({ kind: 'keep', hostname });
  });

  test.each(['raspberrypi', 'localhost', 'Debian'])('%s is every machine’s, and not kept', (hostname) => {
    expect(chooseHostname(hostname, '{"a": 1}')).toMatchObject({ kind: 'leave', isExpected: true });
  });

  test.each(['', 'a_b', '-a', 'a-', 'a..b', 'x'.repeat(65), 'ä', 'a b'])('%j is none, and not kept', (hostname) => {
    expect(chooseHostname(hostname, '{"a": 1}')).toMatchObject({ kind: 'leave', isExpected: false });
  });

  test('never replaces the one that config.json has', () => {
    expect(chooseHostname('mine', '{"hostname": "theirs"}')).toMatchObject({ kind: 'leave', isExpected: true });
    expect(chooseHostname('mine', '{"hostname": null}')).toEqual({ kind: 'keep', hostname: 'mine' });
  });
});

describe('config.json with a hostname', () => {
  test('has every other byte as it was', () => {
    expect(withHostname('\n { "applicationId": 12345678901234567890, "b": "{" }\n', 'gw')).toBe(
      '\n {\n  "hostname": "gw", "applicationId": 12345678901234567890, "b": "{" }\n',
    );
  });

  test('is the same object with one key more', () => {
    const keys = fc.string().filter((key) => key !== '__proto__');
    fc.assert(
      fc.property(fc.dictionary(keys, fc.jsonValue(), { minKeys: 1 }), fc.boolean(), (others, hasNull) => {
        const { hostname: _, ...rest } = others;
        fc.pre(Object.keys(rest).length > 0);
        const text = JSON.stringify(hasNull ? { ...rest, hostname: null } : rest, null, 2);
        expect(JSON.parse(withHostname(text, 'gw'))).toEqual({ ...JSON.parse(JSON.stringify(rest)), hostname: 'gw' });
      }),
    );
  });
});
