import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { redact, redactData } from './redact.ts';

describe('redact', () => {
  it.each([
    ['psk=hunter22secret', 'psk=[secret]'],
    ['  psk="a b\\"c d"\n', '  psk=[secret]\n'],
    ['Type=wPassphrase=joined', 'Type=wPassphrase=[secret]'],
    ['wep-key0=12345', 'wep-key0=[secret]'],
    ["password: 'top secret'", 'password: [secret]'],
    ['private_key_passwd=x private-key-password=y', 'private_key_passwd=[secret] private-key-password=[secret]'],
    ['{"apiKey":"abc","deviceApiKey": "def","uuid":"1"}', '{"apiKey":[secret],"deviceApiKey": [secret],"uuid":"1"}'],
    ['\n  password root hunter2\nset x\n', '\n  password root [secret]\nset x\n'],
    ['https://user:pa:ss@example.com/x?y', 'https://[secret]@example.com/x?y'],
    ['syslog+tcp://token@log.example.com:601', 'syslog+tcp://[secret]@log.example.com:601'],
    ['Authorization: Basic dXNlcjpwYXNz', 'Authorization: [secret]'],
    ['-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----.', '[secret].'],
    ['-----BEGIN PRIVATE KEY-----\nMIIE, cut off', '[secret]'],
  ])('%j', (text, expected) => expect(redact(text)).toBe(expected));

  it.each([
    'flashing /dev/sda: writing at 34 MiB: I/O error',
    'the key file keyfile.nmconnection has no key-mgmt',
    'write network connections: Wi-Fi "field office" of wpa_supplicant',
    'https://api.balena-cloud.com/ping?x=a@b',
    'the password is missing',
    'monkey=business',
  ])('leaves %j', (text) => expect(redact(text)).toBe(text));

  it('takes any value of a named secret out of any text, and nothing more the second time', () => {
    const name = fc.constantFrom('psk', 'password', 'apiKey', 'deviceApiKey', 'passphrase', 'wep-key3', 'PSK');
    const word = fc.stringMatching(/^[A-Za-z0-9+/_.~-]{8,40}$/).map((text) => `CANARY${text}`);
    const around = fc.stringMatching(/^[a-z ]{0,20}$/);
    fc.assert(
      fc.property(name, word, around, fc.constantFrom('=', ': ', '": "', ' = "'), (key, secret, text, between) => {
        const quote = between.includes('"') ? '"' : '';
        const once = redact(`${text} ${between.startsWith('"') ? '"' : ''}${key}${between}${secret}${quote} ${text}`);
        expect(once).not.toContain(secret);
        expect(once.startsWith(text)).toBe(true);
        expect(once.endsWith(` ${text}`)).toBe(true);
        expect(redact(once)).toBe(once);
      }),
    );
  });

  it('takes little time for any text', () => {
    const hostile = ['psk="'.repeat(20_000), `${'a'.repeat(100_000)}://`, '-----BEGIN PRIVATE KEY-----'.repeat(4000)];
    const startedMs = performance.now();
    for (const text of hostile) redact(text);
    expect(performance.now() - startedMs).toBeLessThan(5000);
  });
});

describe('redactData', () => {
  it('reaches every text and keeps everything else', () => {
    const data = { a: ['psk=secret12', 3, null], b: { c: 'https://u:p@h', d: true } };
    expect(redactData(data)).toEqual({ a: ['psk=[secret]', 3, null], b: { c: 'https://[secret]@h', d: true } });
  });
});
