import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseConnectionFile } from './connection-file.ts';

const ethernet = '[connection]\nid=eth\ntype=ethernet\n\n[ipv4]\nmethod=auto\n';
const wifi = '[connection]\nid=home\ntype=wifi\n[wifi]\nssid=home\n[wifi-security]\nkey-mgmt=wpa-psk\npsk=canary-psk\n';
const linesOf = (name: string, text: string): string[] =>
  parseConnectionFile(name, text).findings.map(
    ({ severity, code, where, message }) => `${severity} ${code} ${where}: ${message}`,
  );

test.each([
  ['ethernet', ethernet, { id: 'eth', type: 'ethernet' }],
  [
    'CRLF, comments and blanks',
    ethernet.replaceAll('\n', '\r\n').replace('id=', '# c\r\n id = '),
    { id: 'eth', type: 'ethernet' },
  ],
  ['wifi', wifi, { id: 'home', type: 'wifi' }],
  ['wifi by its old names', wifi.replaceAll('wifi', '802-11-wireless'), { id: 'home', type: '802-11-wireless' }],
  ['open wifi', '[connection]\nid=x\ntype=wifi\n[wifi]\nssid=x\n', { id: 'x', type: 'wifi' }],
  [
    'a section in two parts',
    '[connection]\nid=a\n[ipv4]\nmethod=auto\n[connection]\ntype=gsm\n',
    { id: 'a', type: 'gsm' },
  ],
  ['values with = and [', '[connection]\nid=[a]=b\ntype=vpn\n', { id: '[a]=b', type: 'vpn' }],
])('%s', (_name, text, connection) => {
  expect(parseConnectionFile('c', text)).toEqual({ connection, findings: [] });
});

test.each<[string, string, string, string[]]>([
  ['empty', 'c', '', ['error connection-incomplete c: it has no section [connection]']],
  ['no section', 'c', 'psk=canary\n', ['error connection-syntax c:1: a section must begin before this line']],
  [
    'another kind of file',
    'c',
    '# netplan\nnetwork:\n  version: 2\n',
    ['error connection-syntax c:2: a section must begin before this line'],
  ],
  [
    'a broken line',
    'c',
    `${ethernet}canary\n`,
    ['error connection-syntax c:7: this is neither a section nor a setting'],
  ],
  [
    'an open header',
    'c',
    `${ethernet}[canary\n`,
    ['error connection-syntax c:7: this is neither a section nor a setting'],
  ],
  ['no id', 'c', ethernet.replace('id=eth', ''), ['error connection-incomplete c: [connection] has no id']],
  [
    'empty id and no type',
    'c',
    '[connection]\nid=\n',
    [
      'error connection-incomplete c: [connection] has no id',
      'error connection-incomplete c: [connection] has no type',
    ],
  ],
  ['wifi without ssid', 'c', wifi.replace('ssid=home\n', ''), ['error connection-incomplete c: [wifi] has no ssid']],
  [
    'wifi without password',
    'c',
    wifi.replace('psk=canary-psk', 'psk-flags=1'),
    ['error connection-incomplete c: [wifi-security] has no psk, and nobody could be asked for it'],
  ],
  [
    'an interface name',
    'c',
    ethernet.replace('id=eth', 'id=eth\ninterface-name=eth0'),
    [
      'warning connection-interface c: it holds only for one interface name, and the new system may name that interface otherwise',
    ],
  ],
  [
    'no autoconnect',
    'c',
    ethernet.replace('id=eth', 'id=eth\nautoconnect=false'),
    ['warning connection-autoconnect c: autoconnect is off, so this connection does not come up by itself'],
  ],
  [
    'a name for nobody',
    'balena-sample.ignore',
    ethernet,
    ['error connection-name balena-sample.ignore: the new system passes over files of this name'],
  ],
  ['a hidden name', '.eth', ethernet, ['error connection-name .eth: the new system passes over files of this name']],
  [
    'a name that FAT refuses',
    'a:b',
    ethernet,
    ['error connection-name a:b: the name "a:b" cannot be stored on the boot partition, which is FAT'],
  ],
  ['Latin-1', 'c', `${ethernet}#\ufffd`, ['error connection-encoding c: the file is not plain UTF-8 text']],
  ['large', 'c', '#'.repeat(100_000), ['error connection-too-large c: the file has more than 64 KiB']],
])('%s', (_name, file, text, lines) => {
  const parsed = parseConnectionFile(file, text);
  expect(linesOf(file, text)).toEqual(lines);
  expect(parsed.connection === undefined).toBe(parsed.findings.some((finding) => finding.severity === 'error'));
  expect(JSON.stringify(parsed)).not.toContain('canary');
});

test('a damaged file never makes it throw, and nothing of its contents is shown', () => {
  fc.assert(
    fc.property(fc.nat(wifi.length), fc.nat(20), fc.string({ maxLength: 3 }), (at, cut, put) => {
      const { findings } = parseConnectionFile('c', wifi.slice(0, at) + put + wifi.slice(at + cut));
      expect(JSON.stringify(findings)).not.toMatch(/canary|nary|home/);
    }),
    { numRuns: 1000 },
  );
});
