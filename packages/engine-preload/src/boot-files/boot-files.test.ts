import { parseConnectionFile } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { connectionFiles } from './connection-files.ts';
import { parseStaticIp, staticIpConnection } from './static-ip.ts';

const sound = { name: 'office', text: '[connection]\nid=office\ntype=ethernet\n' };

describe('connection files', () => {
  it('go to system-connections', () => {
    const { files, findings } = connectionFiles([sound]);
    expect(findings).toEqual([]);
    expect(files.map(({ path }) => path)).toEqual(['/system-connections/office']);
    expect(new TextDecoder().decode(files[0]?.contents)).toBe(sound.text);
  });

  it.each<[string, { name: string; text: string }[], string]>([
    ['same names on FAT', [sound, { ...sound, name: 'OFFICE' }], 'connection-name'],
    ['a name that leads elsewhere', [{ ...sound, name: '../config.json' }], 'connection-name'],
    ['an incomplete one', [sound, { name: 'b', text: '[connection]\nid=b\n' }], 'connection-incomplete'],
  ])('refuses all for %s', (_name, connections, code) => {
    const { files, findings } = connectionFiles(connections);
    expect(files).toEqual([]);
    expect(findings.map((finding) => finding.code)).toEqual([code]);
  });
});

describe('a fixed address', () => {
  it('becomes a connection file', () => {
    const { name, text } = staticIpConnection(parseStaticIp('10.0.0.5/24, 10.0.0.1, 1.1.1.1, 9.9.9.9'));
    expect(name).toBe('static_ip');
    expect(text).toBe(
      '[connection]\nid=static_ip\ntype=ethernet\n\n[ipv4]\nmethod=manual\naddress1=10.0.0.5/24,10.0.0.1\ndns=1.1.1.1;9.9.9.9;\n\n[ipv6]\nmethod=auto\n',
    );
    expect(staticIpConnection(parseStaticIp('fd00::5/64')).text).toContain(
      '[ipv6]\nmethod=manual\naddress1=fd00::5/64\n',
    );
  });

  it.each([
    '',
    '10.0.0.5',
    '10.0.0.5/33',
    '10.0.0.5/0',
    '10.0.0/24',
    '10.0.0.0/24',
    '10.0.0.255/24',
    '10.0.0.5/24,10.0.1.1',
    '10.0.0.5/24,',
    '10.0.0.5/24,10.0.0.1,dns.example',
    '10.0.0.5/24,fd00::1',
    'fe80::1%eth0/64',
    '10.0.0.5/24\n[x]',
  ])('refuses %j', (text) => expect(() => parseStaticIp(text)).toThrow(/cannot be used/));

  it('is a sound connection file whatever is accepted', () => {
    const address = fc.oneof(fc.ipV4(), fc.ipV6());
    const text = fc
      .tuple(address, fc.integer({ min: 0, max: 130 }), fc.option(address), fc.array(address, { maxLength: 2 }))
      .map(([own, prefix, gateway, servers]) =>
        [`${own}/${prefix}`, ...(gateway === null ? [] : [gateway, ...servers])].join(','),
      );
    fc.assert(
      fc.property(text, (given) => {
        let parsed: ReturnType<typeof parseStaticIp>;
        try {
          parsed = parseStaticIp(given);
        } catch {
          return;
        }
        const connection = staticIpConnection(parsed);
        expect(parseConnectionFile(connection.name, connection.text)).toEqual({
          connection: { id: 'static_ip', type: 'ethernet' },
          findings: [],
        });
      }),
    );
  });
});
