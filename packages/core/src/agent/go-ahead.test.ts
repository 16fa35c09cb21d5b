import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MigrateError } from '../error.ts';
import { parseGoAhead } from './go-ahead.ts';

const whole = {
  id: 'rollout-7',
  devices: ['till-1', 'till-2'],
  action: 'migrate',
  plan: 'abc',
  issuedAt: '2026-01-31T12:00:00Z',
  expiresAt: '2026-02-01T12:00:00+01:00',
};
const { devices, ...single } = whole;

test('is read with its times', () => {
  expect(parseGoAhead(JSON.stringify(whole))).toEqual({
    id: 'rollout-7',
    devices,
    action: 'migrate',
    plan: 'abc',
    issuedMs: Date.UTC(2026, 0, 31, 12),
    expiresMs: Date.UTC(2026, 1, 1, 11),
  });
  expect(parseGoAhead(JSON.stringify({ ...single, device: 'till-1' })).devices).toEqual(['till-1']);
});

test.each([
  ['no id', { id: undefined }],
  ['an odd id', { id: 'a b' }],
  ['no device', { devices: undefined }],
  ['an empty list of devices', { devices: [] }],
  ['a device that is no text', { devices: ['a', 1] }],
  ['another action', { action: 'flash' }],
  ['no time', { issuedAt: undefined }],
  ['a time without zone', { issuedAt: '2026-01-31T12:00:00' }],
  ['a day that is none', { issuedAt: '2026-13-31T12:00:00Z' }],
  ['a number as time', { issuedAt: 5 }],
  ['an odd end', { expiresAt: 'tomorrow' }],
  ['a plan that is no text', { plan: 5 }],
  ['a field that is not known', { force: true }],
])('with %s is void', (_, change) => {
  expect(() => parseGoAhead(JSON.stringify({ ...whole, ...change }))).toThrow(/^the go-ahead is void: /);
});

test('no text does anything but give one or be void', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.json()), (text) => {
      try {
        expect(parseGoAhead(text).devices.length).toBeGreaterThan(0);
      } catch (thrown) {
        expect(thrown).toBeInstanceOf(MigrateError);
      }
    }),
  );
});
