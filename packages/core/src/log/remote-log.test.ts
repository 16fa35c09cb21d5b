import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../config/parse-config.ts';
import { Secret } from '../secret.ts';
import { checkRemoteLog } from './check-remote-log.ts';
import type { LogRecord } from './event-log.ts';
import { jsonRecord, octetCounted, syslogMessage } from './record-format.ts';
import { describeRemote, parseLogServer, parseRemoteUrl, printLogServer } from './remote-address.ts';
import { createRemoteLog } from './remote-log.ts';

const record = (changes: Partial<LogRecord> = {}): LogRecord => ({
  time: '2026-01-02T03:04:05.678Z',
  uptimeSeconds: 1.23456,
  level: 'info',
  kind: 'note',
  text: '  hello',
  ...changes,
});
const origin = { hostname: 'box', stage: 2, toolVersion: '0.1.0', planId: 'abc' } as const;
const text = (bytes: Uint8Array) => new TextDecoder('utf-8', { fatal: true }).decode(bytes);

describe('the log server of a configuration', () => {
  const check = (remote: string): string[] => {
    const { config, findings } = parseConfig(`migrate: { log: { remote: ${remote} } }\n`, 'c.yml');
    if (config === undefined) throw new Error(findings[0]?.message);
    return checkRemoteLog(config, { wired: { interfaces: [], modules: [] } }).map(({ code }) => code);
  };
  it.each([
    ['{ url: "https://logs.example.com/" }', []],
    ['{ url: "https://logs.example.com:99999/" }', ['log-remote-url']],
    ['{ url: "https://logs.example.com/", root_ca: LS0tLS1CRUdJTg== }', ['log-remote-ca']],
    [`{ url: "https://logs.example.com/", root_ca: ${Buffer.from('no PEM').toString('base64')} }`, ['log-remote-ca']],
  ])('%s: %j', (remote, expected) => expect(check(remote)).toEqual(expected));

  it.each([{}, { rootCa: 'LS0tLS1CRUdJTg==' }])('is left for stage 2, with its authority: %j', (trust) => {
    const server = parseLogServer(printLogServer({ url: new Secret('https://a:b@logs/'), ...trust }).reveal());
    expect({ ...server, url: server?.url.reveal() }).toEqual({ url: 'https://a:b@logs/', ...trust });
  });

  it('is none where the file is empty', () => expect(parseLogServer('')).toBeUndefined());
});

describe('parseRemoteUrl', () => {
  const parse = (url: string) => parseRemoteUrl(new Secret(url));
  it.each<[string, object]>([
    ['https://logs.example.com/in?x=1', { kind: 'http', url: 'https://logs.example.com/in?x=1' }],
    ['syslog+udp://10.0.0.1', { kind: 'syslog', transport: 'udp', host: '10.0.0.1', port: 514 }],
    ['syslog+tcp://log.local:1514', { kind: 'syslog', transport: 'tcp', host: 'log.local', port: 1514 }],
    ['syslog+tls://[2001:db8::1]', { kind: 'syslog', transport: 'tls', host: '2001:db8::1', port: 6514 }],
  ])('%s', (url, expected) => expect(parse(url)).toEqual(expected));

  it('takes user and password out of what is shown', () => {
    const address = parse('https://us%40er:pass@logs.example.com/in');
    expect(address).toMatchObject({ url: 'https://logs.example.com/in' });
    expect(address?.kind === 'http' && address.authorization?.reveal()).toBe(
      `Basic ${Buffer.from('us@er:pass').toString('base64')}`,
    );
    expect(JSON.stringify(address)).not.toMatch(/pass|dXNA/);
    expect(address && describeRemote(address)).toBe('logs.example.com');
  });

  it.each(['ftp://x', 'https://', 'syslog://x', 'https://a b', 'syslog+udp://', 'https://x:99999/'])(
    'refuses %s',
    (url) => expect(parse(url)).toBeUndefined(),
  );
});

describe('a syslog message', () => {
  it('is one of RFC 5424', () => {
    expect(text(syslogMessage(record(), origin))).toBe(
      '<30>1 2026-01-02T03:04:05.678Z box migrate stage2 note - hello',
    );
    const odd = record({ time: '1970-01-01T00:00:01.000Z', level: 'error', text: 'a\n b\u0007c' });
    expect(text(syslogMessage(odd, { ...origin, hostname: 'my box' }))).toBe('<27>1 - - migrate stage2 note - a  b c');
  });

  it('is short, whole characters on one line, and framed by its length', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', maxLength: 3000 }), (anything) => {
        const message = syslogMessage(record({ text: anything }), origin);
        expect(message.length).toBeLessThanOrEqual(2048);
        expect(text(message)).not.toContain('\n');
        const framed = octetCounted(message);
        const [, length = ''] = /^(\d+) /.exec(Buffer.from(framed).toString('latin1')) ?? [];
        expect(framed.length).toBe(length.length + 1 + Number(length));
      }),
    );
  });
});

describe('a JSON line', () => {
  it('has a stable shape', () => {
    const line = jsonRecord(record(), origin);
    expect(line.endsWith('}\n')).toBe(true);
    expect(JSON.parse(line)).toEqual({
      time: '2026-01-02T03:04:05.678Z',
      hostname: 'box',
      program: 'migrate',
      toolVersion: '0.1.0',
      stage: 2,
      planId: 'abc',
      uptimeSeconds: 1.235,
      level: 'info',
      kind: 'note',
      text: 'hello',
    });
  });
});

describe('the remote log', () => {
  function server(fails: (attempt: number) => boolean) {
    const got: string[] = [];
    const troubles: string[] = [];
    let attempt = 0;
    const log = createRemoteLog({
      sender: {
        send: async (records) => {
          attempt += 1;
          if (fails(attempt)) throw new Error('no route');
          got.push(...records.map((sent) => sent.text));
        },
        close: () => {},
      },
      onTrouble: (trouble) => troubles.push(trouble),
      gatherMs: 1,
      firstPauseMs: 1,
    });
    return { log, got, troubles };
  }

  it('sends each line once and in order, whenever sending fails', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 6 }), fc.nat({ max: 500 }), async (failures, count) => {
        const { log, got } = server((attempt) => failures[attempt - 1] === true);
        const lines = Array.from({ length: count }, (_, index) => `line ${index}`);
        for (const [index, line] of lines.entries()) {
          log.sink(record({ text: line }));
          if (index % 150 === 149) await new Promise((resolve) => setTimeout(resolve, 2));
        }
        expect(await log.close(2000)).toBe(0);
        expect(got).toEqual(lines);
      }),
      { numRuns: 25 },
    );
  });

  it('keeps the last lines of a long outage and says how many are gone', async () => {
    const { log, got, troubles } = server((attempt) => attempt < 3);
    for (let index = 0; index < 6000; index += 1) log.sink(record({ text: `${index}` }));
    expect(await log.close(2000)).toBe(0);
    expect(got[0]).toBe('1000 lines before this one were not sent');
    expect(got.slice(1, 3)).toEqual(['1000', '1001']);
    expect(got.at(-1)).toBe('5999');
    expect(troubles).toEqual(['no route']);
  });

  it('gives up in time where nobody answers', async () => {
    const log = createRemoteLog({ sender: { send: () => new Promise(() => {}), close: () => {} } });
    log.sink(record());
    const startedMs = performance.now();
    expect(await log.close(100)).toBe(1);
    expect(performance.now() - startedMs).toBeLessThan(1000);
  });
});
