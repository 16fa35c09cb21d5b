import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { type ChosenProxy, chooseProxy } from './choose-proxy.ts';
import { collectNetworks } from './collect.ts';

const environment = '/etc/environment';
const profile = '/etc/profile.d/proxy.sh';
const dropIn = '/etc/systemd/system.conf.d/proxy.conf';

async function choose(files: Record<string, string>): Promise<ChosenProxy> {
  return chooseProxy((await collectNetworks(createMemoryHost({ files }))).proxies);
}

/** The files of system-proxy by their names. */
async function filesOf(files: Record<string, string>): Promise<Record<string, string>> {
  const chosen = await choose(files);
  return Object.fromEntries(chosen.files.map(({ name, contents }) => [name, contents.reveal()]));
}

/**
 * Reads redsocks.conf by the grammar of redsocks' parser.c: words, numbers with dots, punctuation, and texts in quotes, where a
 * backslash escapes. Gives the section's keys and values.
 */
function readRedsocks(text: string): Record<string, string> {
  const token = /\s*("(?:[^"\\]|\\.)*"|\d[\d.]*|[A-Za-z][A-Za-z0-9_.-]*|[{}=;])/y;
  const tokens: string[] = [];
  while (text.slice(token.lastIndex).trim() !== '') {
    const at = token.lastIndex;
    const found = token.exec(text)?.[1];
    if (found === undefined) throw new Error(`redsocks cannot read ${text.slice(at, at + 20)}`);
    tokens.push(found);
  }
  const values: Record<string, string> = {};
  let section = '';
  for (let index = 0; index < tokens.length; ) {
    const [first = '', second, third = '', fourth] = tokens.slice(index);
    if (section === '') {
      if (second !== '{') throw new Error(`no section at ${first}`);
      section = first;
      index += 2;
    } else if (first === '}') {
      section = '';
      index += 1;
    } else {
      if (second !== '=' || fourth !== ';') throw new Error(`no assignment at ${first}`);
      values[`${section}.${first}`] = third.replace(/^"(.*)"$/s, '$1');
      index += 4;
    }
  }
  return values;
}

const redsocks = (more: Record<string, string>): Record<string, string> => ({
  'base.log_debug': 'off',
  'base.log_info': 'on',
  'base.log': 'stderr',
  'base.daemon': 'off',
  'base.redirector': 'iptables',
  'redsocks.local_ip': '127.0.0.1',
  'redsocks.local_port': '12345',
  ...Object.fromEntries(Object.entries(more).map(([key, value]) => [`redsocks.${key}`, value])),
});

describe('the proxy', () => {
  const office = { type: 'http-connect', ip: 'proxy.example', port: '3128' };
  it.each([
    ['/etc/environment', { [environment]: 'PATH="/bin"\nhttps_proxy="http://proxy.example:3128/" # office\n' }, office],
    ['its upper-case twin', { [environment]: 'export HTTPS_PROXY=Proxy.Example:3128\n' }, office],
    [
      'the lower-case variable before its twin',
      { [environment]: 'https_proxy=http://proxy.example:3128\nHTTPS_PROXY=http://other.example:1\n' },
      office,
    ],
    [
      "systemd's environment",
      { [dropIn]: '[Manager]\nDefaultEnvironment="A=b c" "https_proxy=http://proxy.example:3128" X=y\n' },
      office,
    ],
    [
      'a profile of login shells, where one variable names another',
      {
        [profile]:
          'http_proxy="http://proxy.example:3128"; export http_proxy\nexport https_proxy=$http_proxy X=y # b\n',
      },
      office,
    ],
    [
      'two files that agree',
      {
        [environment]: 'https_proxy=http://proxy.example:3128\n',
        [dropIn]: '[Manager]\nManagerEnvironment=HTTPS_PROXY=http://PROXY.example:3128/\n',
      },
      office,
    ],
    [
      'a login with escapes',
      { [environment]: 'https_proxy=http://me%40home:p%3aw%23@10.0.0.1:8080\n' },
      { type: 'http-connect', ip: '10.0.0.1', port: '8080', login: 'me@home', password: 'p:w#' },
    ],
    [
      'a login with doubled specifiers of systemd',
      { [dropIn]: '[Manager]\nDefaultEnvironment=https_proxy=http://me:a%%40b@10.0.0.1:8080\n' },
      { type: 'http-connect', ip: '10.0.0.1', port: '8080', login: 'me', password: 'a@b' },
    ],
    [
      'SOCKS 5 with its usual port',
      { [environment]: 'all_proxy=socks5h://10.0.0.1\n' },
      { type: 'socks5', ip: '10.0.0.1', port: '1080' },
    ],
    [
      'SOCKS 4 with a user',
      { [environment]: 'all_proxy=socks4://me@10.0.0.1:9\n' },
      { type: 'socks4', ip: '10.0.0.1', port: '9', login: 'me' },
    ],
    [
      'a name that begins with a digit',
      { [environment]: 'https_proxy=http://3com.example:80\n' },
      { type: 'http-connect', ip: '3com.example', port: '80' },
    ],
  ])('moves from %s', async (_, files: Record<string, string>, expected: Record<string, string>) => {
    const { 'redsocks.conf': text = '', ...others } = await filesOf(files);
    expect(readRedsocks(text)).toEqual(redsocks(expected));
    expect(others).toEqual({});
    expect((await choose(files)).notCarried).toEqual([]);
  });

  it('takes addresses and networks along as exceptions, and names the others', async () => {
    const files = {
      [environment]:
        'https_proxy=http://proxy.example:3128\nno_proxy="localhost,127.0.0.1,::1, 203.0.113.0/24,198.51.100.7,203.0.113.0/33,.example.org,192.168.*"\n',
    };
    const { no_proxy: exceptions } = await filesOf(files);
    expect(exceptions).toBe('127.0.0.1\n203.0.113.0/24\n198.51.100.7\n');
    expect((await choose(files)).notCarried.map(({ what, isNeeded }) => [what, isNeeded])).toEqual([
      ['the exception "203.0.113.0/33" from the proxy', false],
      ['the exception ".example.org" from the proxy', false],
      ['the exception "192.168.*" from the proxy', false],
    ]);
  });

  it.each([
    'if true; then\n  export https_proxy=http://proxy.example:3128\nfi\n',
    'proxy_on() { export https_proxy=http://proxy.example:3128; }\n',
    'export https_proxy=http://$(hostname):3128\n',
    'export https_proxy="http://$unknown:3128"\n',
    'true && export https_proxy=http://proxy.example:3128\n',
  ])('is never taken from a script that would have to run: %j', async (text) => {
    expect(await choose({ [profile]: text, '/etc/profile.d/other.txt': 'https_proxy=http://x:1\n' })).toEqual({
      files: [],
      notCarried: [
        {
          isNeeded: false,
          what: 'a proxy',
          reason: 'a script sets it under conditions, or computes it',
          source: profile,
        },
      ],
    });
  });

  it('is not seen in what a script only mentions', async () => {
    const text = '# https_proxy=http://proxy.example:3128\nunset https_proxy\necho "$https_proxy"\nA=b\n';
    expect(await choose({ [profile]: text })).toEqual({ files: [], notCarried: [] });
  });

  const https = (address: string): Record<string, string> => ({ [environment]: `https_proxy=${address}\n` });
  it.each([
    ['TLS to it', https('https://proxy.example:3128'), 'redsocks of balenaOS cannot speak TLS to a proxy'],
    ['an unknown kind', https('quic://proxy.example:3128'), 'redsocks of balenaOS does not know its kind'],
    ['no port', https('http://proxy.example'), 'it names no port'],
    ['a port out of range', https('http://proxy.example:70000'), 'its port is out of range'],
    ['a program of this system', https('http://localhost:3128'), 'it is a program of this system'],
    ['IPv6', https('http://[2001:db8::1]:3128'), 'redsocks of balenaOS reaches proxies by IPv4 only'],
    ['no address', https('http://10.1:3128'), 'its address cannot be read'],
    [
      'NTLM',
      https('http://office%5Cme:canary-secret@proxy.example:3128'),
      'its login names a Windows domain, and redsocks does not know NTLM',
    ],
    [
      'a password with quotes',
      https('http://me:canary-secret%22@proxy.example:3128'),
      'redsocks.conf cannot hold its password, or there is none',
    ],
    [
      'a login that is no text',
      https('http://%zz:canary-secret@proxy.example:3128'),
      'redsocks.conf cannot hold its login',
    ],
    [
      'another one elsewhere',
      {
        ...https('http://me:canary-secret@proxy.example:3128'),
        [dropIn]: '[Manager]\nDefaultEnvironment=https_proxy=http://me:canary-secret2@proxy.example:3128\n',
      },
      '/etc/environment names another one, or another login for it',
    ],
  ])('is refused with %s, since the device may need it', async (_, files: Record<string, string>, reason) => {
    const chosen = await choose(files);
    expect(chosen.files).toEqual([]);
    expect(chosen.notCarried).toMatchObject([{ isNeeded: true, reason }]);
    expect(JSON.stringify(chosen)).not.toContain('canary-secret');
  });

  it.each([
    [
      'of http only',
      { [environment]: 'http_proxy=http://me:canary-secret@proxy.example:3128\n' },
      'https goes without one here, and balenaOS would send all through it',
    ],
    [
      'of apt',
      { '/etc/apt/apt.conf.d/01proxy': 'Acquire::http::Proxy "http://me:canary-secret@cache.example:3142";\n' },
      'it may be a cache for packages only',
    ],
    [
      'of apt in groups',
      { '/etc/apt/apt.conf': 'Acquire { http { Proxy "http://me:canary-secret@cache.example:3142"; }; };\n' },
      'it may be a cache for packages only',
    ],
    [
      'of a script',
      {
        '/etc/NetworkManager/system-connections/a':
          '[connection]\nid=a\ntype=ethernet\n\n[proxy]\nmethod=1\npac-url=http://me:canary-secret@wpad.example/\n',
      },
      'balenaOS runs no proxy scripts',
    ],
  ])('%s stays behind with a warning', async (_, files: Record<string, string>, reason) => {
    const chosen = await choose(files);
    expect(chosen.files).toEqual([]);
    expect(chosen.notCarried).toMatchObject([{ isNeeded: false, reason }]);
    expect(JSON.stringify(chosen)).not.toContain('canary-secret');
  });

  it.each([
    ['there is none', {}],
    ['it is empty', { [environment]: 'https_proxy=\nall_proxy=""\n' }],
    ['nothing goes through it', { [environment]: 'https_proxy=http://proxy.example:3128\nno_proxy=*\n' }],
    [
      'systemd takes it back',
      { [dropIn]: '[Manager]\nDefaultEnvironment=https_proxy=http://p:1\nDefaultEnvironment=\n' },
    ],
    [
      'apt goes direct',
      { '/etc/apt/apt.conf': 'Acquire::http::Proxy "DIRECT";\n// Acquire::http::Proxy "http://x:1";\n' },
    ],
  ])('is not missed where %s', async (_, files: Record<string, string>) => {
    expect(await choose(files)).toEqual({ files: [], notCarried: [] });
  });

  it('gives any login and password to redsocks as they are, or is refused', async () => {
    const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 20 });
    let carried = 0;
    await fc.assert(
      fc.asyncProperty(fc.oneof(text, fc.stringMatching(/^[!-~]{1,20}$/)), async (secret) => {
        const address = `http://u${encodeURIComponent(secret)}:${encodeURIComponent(secret)}@proxy.example:3128`;
        const { 'redsocks.conf': conf } = await filesOf(https(`"${address}"`));
        if (conf === undefined) return;
        carried += 1;
        expect(readRedsocks(conf)).toMatchObject({ 'redsocks.login': `u${secret}`, 'redsocks.password': secret });
      }),
      { numRuns: 300 },
    );
    expect(carried).toBeGreaterThan(20);
  });

  it('is read from any text, or refused, and redsocks and iptables can read what is made of it', async () => {
    const words = fc.constantFrom(
      ...['https_proxy=', 'no_proxy=', 'all_proxy=', 'http://', 'socks5://', 'u:p@', 'host.example', ':3128', '/', '@'],
      ...[
        '"',
        "'",
        '\\',
        ' ',
        '\n',
        ',',
        '%',
        '%%',
        '%41',
        '10.0.0.1',
        '/8',
        '*',
        '#',
        '[Manager]\n',
        'DefaultEnvironment=',
        'export ',
        '$A',
      ],
      ...['Acquire::http::Proxy "', '";', '{', '}', ';', '\0', 'é'],
    );
    const paths = fc.constantFrom(environment, dropIn, profile, '/etc/apt/apt.conf');
    await fc.assert(
      fc.asyncProperty(paths, fc.array(words, { maxLength: 16 }), async (path, parts) => {
        const made = await filesOf({ [path]: parts.join('') });
        if (made['redsocks.conf'] !== undefined) readRedsocks(made['redsocks.conf']);
        if (made.no_proxy !== undefined) expect(made.no_proxy).toMatch(/^(?:\d+(?:\.\d+){3}(?:\/\d+)?\n)+$/);
      }),
      { numRuns: 2000 },
    );
  });
});
