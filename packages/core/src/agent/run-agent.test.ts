import { describe, expect, test } from 'vitest';
import { MigrateError } from '../error.ts';
import type { Http, HttpRequest } from '../host/http.ts';
import { createMemoryHost } from '../host/memory-host.ts';
import { Secret } from '../secret.ts';
import { readAgentState, readLastReport, writeAgentState, writeLastReport } from './agent-store.ts';
import { type AgentReport, initialState } from './decide.ts';
import { goAheadSource } from './go-ahead-source.ts';
import { type AgentDoors, runAgent } from './run-agent.ts';

const goAhead = { id: 'a', device: 'till-1', action: 'migrate', issuedAt: '2026-01-31T12:00:00Z' };
const identity = { device: 'till-1', requiresPlan: false };

/** Runs the agent over what it finds at each look; returns all that it did in order. */
async function agentOver(
  looks: readonly (object | string | Error | undefined)[],
  more: Partial<AgentDoors> = {},
  host = createMemoryHost({ files: { '/var/lib/x': '' } }),
) {
  const did: string[] = [];
  const reports: AgentReport[] = [];
  const rest = [...looks];
  const run = runAgent(
    {
      load: () => readAgentState(host),
      save: async (state) => {
        did.push(`save ${state.underway?.phase ?? 'idle'}`);
        await writeAgentState(host, state);
      },
      formerRun: async () => 'stage 2 gave way',
      look: async () => {
        const found = rest.shift();
        if (found instanceof Error) throw found;
        return typeof found === 'object' ? JSON.stringify(found) : found;
      },
      now: () => new Date(0),
      pretend: async () => {
        did.push('pretend');
        return { plan: 'p', findings: [] };
      },
      migrate: async () => {
        did.push('migrate');
        return undefined;
      },
      reboot: async () => void did.push('reboot'),
      report: async (report) => {
        did.push(`report ${report.outcome}`);
        reports.push(report);
      },
      emit: (event) => {
        if (event.kind === 'note') did.push(`note ${event.text}`);
      },
      pause: async () => {
        if (rest.length === 0) throw new MigrateError('cancelled', 'cancelled');
      },
      ...more,
    },
    identity,
  );
  await expect(run).rejects.toMatchObject({ code: more.pretend === undefined ? 'cancelled' : expect.any(String) });
  return { did, reports, host };
}

describe('the agent', () => {
  test('remembers a go-ahead before it acts on it, and acts once', async () => {
    const { did, host } = await agentOver([undefined, goAhead, goAhead, undefined, goAhead]);
    expect(did).toEqual(['save pretending', 'pretend', 'save migrating', 'migrate', 'report migrating', 'reboot']);
    const again = await agentOver([goAhead], {}, host);
    expect(again.did).toEqual(['save idle', 'report came-back']);
    expect(again.reports).toMatchObject([{ goAhead: 'a', message: 'stage 2 gave way' }]);
  });

  test('does not reboot, nor try again, after a stage 1 that failed', async () => {
    const { did } = await agentOver([goAhead, goAhead], { migrate: async () => 'no space' });
    expect(did.slice(-2)).toEqual(['save idle', 'report failed']);
  });

  test('killed while it looks, it reports that and does not go on by itself', async () => {
    const host = createMemoryHost({ files: { '/var/lib/x': '' } });
    await agentOver([goAhead], { pretend: () => Promise.reject(new MigrateError('internal', 'killed')) }, host);
    const { did } = await agentOver([goAhead], {}, host);
    expect(did).toEqual(['save idle', 'report interrupted']);
  });

  test('says once what is wrong with what it finds', async () => {
    const broken = new MigrateError('read-failed', 'no network');
    const { did } = await agentOver(['{', '{', broken, broken, { ...goAhead, action: 'pretend' }]);
    expect(did).toEqual([
      'note the go-ahead is void: it is not valid JSON',
      'note no network',
      ...['save pretending', 'pretend', 'save idle', 'report ready'],
    ]);
  });

  test('refuses to begin with a damaged memory', async () => {
    const host = createMemoryHost({ files: { '/var/lib/balena-migrate-agent/state.json': '{"version":1' } });
    await expect(readAgentState(host)).rejects.toMatchObject({ code: 'invalid-input' });
  });

  test('keeps its last report', async () => {
    const host = createMemoryHost({ files: { '/var/lib/x': '' } });
    expect(await readAgentState(host)).toEqual(initialState);
    expect(await readLastReport(host)).toBeUndefined();
    const report = {
      version: 1,
      reportedAt: 'now',
      device: 'd',
      goAhead: 'a',
      outcome: 'ready',
      message: '',
      findings: [],
    } as const;
    await writeLastReport(host, report);
    expect(await readLastReport(host)).toEqual(report);
  });
});

describe('go-aheads', () => {
  const http: Http = { connect: async () => {}, request: () => Promise.reject(new Error('not expected')) };

  test('come from a file that only root can change', async () => {
    const look = (files: Record<string, string>, userId = 0) => {
      const host = createMemoryHost({ files, userId });
      return { host, look: goAheadSource({ host, http, source: { kind: 'watch', path: '/etc/drop' }, device: 'd' }) };
    };
    expect(await look({ '/etc/x': '' }).look()).toBeUndefined();
    expect(await look({ '/etc/drop/x': '' }).look()).toBeUndefined();
    expect(await look({ '/etc/drop/go-ahead.json': 'text' }).look()).toBe('text');
    expect(await look({ '/etc/drop': 'text' }).look()).toBe('text');
    const open = look({ '/etc/drop': 'text' });
    await open.host.setAttributes('/etc/drop', { mode: 0o664 });
    await expect(open.look()).rejects.toThrow('can be changed by others than root');
    const foreign = look({ '/etc/drop': 'text' });
    await foreign.host.setAttributes('/etc/drop', { mode: 0o644, uid: 1000, gid: 0 });
    await expect(foreign.look()).rejects.toMatchObject({ code: 'unsupported' });
  });

  test('come from an address once, until they change', async () => {
    const asked: HttpRequest[] = [];
    const answers = [200, 304, 404, 500].map((status) => ({ status, headers: { etag: '"1"' } }));
    const served: Http = {
      ...http,
      request: async (request) => {
        asked.push(request);
        const { status, headers } = answers.shift() ?? { status: 204, headers: {} };
        return {
          status,
          headers,
          url: request.url,
          close: () => {},
          body: (async function* () {
            yield Buffer.from('text');
          })(),
        };
      },
    };
    const source = { kind: 'url', url: 'https://x/{device}/{device}' } as const;
    const look = goAheadSource({
      host: createMemoryHost(),
      http: served,
      source,
      device: 'a/b',
      token: new Secret('canary'),
    });
    expect([await look(), await look(), await look()]).toEqual(['text', undefined, undefined]);
    await expect(look()).rejects.toThrow('status 500');
    expect(asked.map(({ url, headers }) => [url, headers?.['if-none-match']])).toEqual([
      ['https://x/a%2Fb/a%2Fb', undefined],
      ...Array(3).fill(['https://x/a%2Fb/a%2Fb', '"1"']),
    ]);
    expect(asked[0]?.bearer?.reveal()).toBe('canary');
  });
});
