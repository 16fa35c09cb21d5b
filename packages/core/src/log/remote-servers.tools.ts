// The log as real servers take it: rsyslog, and an HTTP server that sometimes does not answer.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { Secret } from '../secret.ts';
import type { LogRecord } from './event-log.ts';
import { parseRemoteUrl } from './remote-address.ts';
import { createRemoteLog } from './remote-log.ts';
import { createRemoteSender } from './remote-sender.ts';

const origin = { hostname: 'field-box', stage: 1, toolVersion: '0.1.0', planId: 'abc' } as const;
const record = (text: string, level: LogRecord['level'] = 'info'): LogRecord => ({
  time: '2026-01-02T03:04:05.678Z',
  uptimeSeconds: 1,
  level,
  kind: 'note',
  text,
});
const lines = ['first', 'zweite Zeile: ß €', 'x'.repeat(1500)];

function logTo(url: string) {
  const address = parseRemoteUrl(new Secret(url));
  if (address === undefined) throw new Error(`${url} is no URL`);
  const troubles: string[] = [];
  const sender = createRemoteSender(address, origin);
  return {
    troubles,
    ...createRemoteLog({ sender, gatherMs: 1, firstPauseMs: 50, onTrouble: (text) => troubles.push(text) }),
  };
}

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0)) await cleanup();
});

async function freePort(): Promise<number> {
  const server = createTcpServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe('rsyslog', () => {
  async function rsyslog() {
    const directory = await mkdtemp(join(tmpdir(), 'remote-log-'));
    const port = await freePort();
    const output = join(directory, 'out');
    await writeFile(
      join(directory, 'conf'),
      `module(load="imudp")
module(load="imtcp")
input(type="imudp" address="127.0.0.1" port="${port}")
input(type="imtcp" address="127.0.0.1" port="${port}")
template(name="fields" type="string" string="%pri%|%timestamp:::date-rfc3339%|%hostname%|%app-name%|%procid%|%msgid%|%msg%\\n")
*.* action(type="omfile" file="${output}" template="fields")
`,
    );
    const child: ChildProcess = spawn('rsyslogd', ['-n', '-f', join(directory, 'conf'), '-i', join(directory, 'pid')], {
      stdio: 'ignore',
    });
    const gone = new Promise((resolve) => child.once('exit', resolve));
    cleanups.push(async () => {
      child.kill('SIGTERM');
      await gone;
      await rm(directory, { recursive: true });
    });
    const read = async (pattern: RegExp): Promise<string[]> => {
      for (let round = 0; round < 200; round += 1) {
        const text = await readFile(output, 'utf8').catch(() => '');
        if (pattern.test(text)) return text.split('\n').filter((line) => line.includes('|migrate|'));
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
      throw new Error(
        `rsyslog did not write ${pattern}; it has ${await readFile(output, 'utf8').catch(() => 'nothing')}`,
      );
    };
    return { port, read };
  }

  const expected = lines.map((line) => `30|2026-01-02T03:04:05.678Z|field-box|migrate|stage1|note|${line}`);

  it('understands the stream over TCP, also when it starts after migrate', async () => {
    const { port, read } = await rsyslog();
    const log = logTo(`syslog+tcp://127.0.0.1:${port}`);
    for (const line of lines) log.sink(record(line));
    expect(await log.close(10_000)).toBe(0);
    expect(await read(/x{1500}/)).toEqual(expected);
  });

  it('understands datagrams', async () => {
    const { port, read } = await rsyslog();
    // A datagram that comes before the server listens is lost.
    const knocking = setInterval(() => {
      const knock = logTo(`syslog+udp://127.0.0.1:${port}`);
      knock.sink(record('knock'));
      void knock.close(1000);
    }, 200);
    await read(/knock/);
    clearInterval(knocking);
    const log = logTo(`syslog+udp://127.0.0.1:${port}`);
    for (const line of lines) log.sink(record(line));
    expect(await log.close(10_000)).toBe(0);
    expect((await read(/x{1500}/)).filter((line) => !line.endsWith('knock'))).toEqual(expected);
  });
});

describe('an HTTP server', () => {
  it('gets every line once, with the password of the URL, also where it refuses at first', async () => {
    const bodies: string[] = [];
    const headers: (string | undefined)[] = [];
    let requests = 0;
    const server = createServer((request, response) => {
      requests += 1;
      const isRefused = requests < 3;
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        headers.push(request.headers.authorization, request.headers['content-type']);
        if (!isRefused) bodies.push(Buffer.concat(chunks).toString());
        response.writeHead(isRefused ? 503 : 204).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(() => new Promise((resolve) => server.close(resolve)));
    const { port } = server.address() as AddressInfo;
    const log = logTo(`http://user:pass@127.0.0.1:${port}/in`);
    for (const line of lines) log.sink(record(line));
    expect(await log.close(10_000)).toBe(0);
    const got = bodies.join('').trim().split('\n');
    expect(got.map((line) => (JSON.parse(line) as LogRecord).text)).toEqual(lines);
    expect(headers).toContain(`Basic ${Buffer.from('user:pass').toString('base64')}`);
    expect(headers).toContain('application/x-ndjson');
    expect(log.troubles).toEqual(['the log server answered 503']);
  });

  it('that does not exist costs the lines, and little time', async () => {
    const log = logTo(`http://127.0.0.1:${await freePort()}/`);
    log.sink(record('lost'));
    expect(await log.close(500)).toBe(1);
    expect(log.troubles[0]).toContain('ECONNREFUSED');
  });
});
