import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { MigrateError } from '../error.ts';
import type { Event } from '../execute/event.ts';
import type { Http, HttpRequest, HttpResponse } from '../host/http.ts';
import { createMemoryHost, type MemoryHost } from '../host/memory-host.ts';
import { Secret } from '../secret.ts';
import { type DownloadLimits, downloadFile } from './download-file.ts';

const final = '/migration/image';
const partial = '/migration/.image.partial';

/** A file that proves itself, as an image does: its last 32 bytes are the hash of all others. */
function soundFile(seed: number, sizeBytes: number): Uint8Array {
  const body = Buffer.alloc(sizeBytes, `${seed} `);
  return Buffer.concat([body, createHash('sha256').update(body).digest()]);
}

function isSound(file: Uint8Array): boolean {
  const hash = createHash('sha256').update(file.subarray(0, -32)).digest();
  return Buffer.compare(hash, file.subarray(-32)) === 0;
}

type Fault =
  | 'none'
  | 'cut'
  | 'ignores-range'
  | 'no-such-range'
  | 'busy'
  | 'refused'
  | 'garbage'
  | 'short-length'
  | 'no-length'
  | 'same-etag-other-file'
  | 'other-file'
  | 'wrong-place';

/** A server with one file that changes, and a list of what goes wrong with each request; afterwards all goes well. */
function faultyServer(faults: readonly Fault[], sizeBytes: number, pieceBytes = 7) {
  const asked: HttpRequest[] = [];
  const served: Uint8Array[] = [];
  let seed = 0;
  let etag = 0;
  const http: Http = {
    connect: async () => {},
    request: async (request): Promise<HttpResponse> => {
      const fault = faults[asked.length] ?? 'none';
      asked.push(request);
      if (fault === 'refused') throw new MigrateError('read-failed', 'no', { data: { errno: 'ECONNREFUSED' } });
      if (fault === 'other-file' || fault === 'same-etag-other-file') seed += 1;
      if (fault === 'other-file') etag += 1;
      const file = soundFile(seed, sizeBytes);
      served.push(file);
      return respond(request, { file, etag: `"${etag}"`, fault, pieceBytes });
    },
  };
  return { http, asked, served };
}

function respond(
  { url, headers = {} }: HttpRequest,
  { file, etag, fault, pieceBytes }: { file: Uint8Array; etag: string; fault: Fault; pieceBytes: number },
): HttpResponse {
  const answer = (status: number, head: Record<string, string>, body: Uint8Array, isCut = false): HttpResponse => ({
    status,
    headers: head,
    url,
    close: () => {},
    body: (async function* () {
      const end = isCut ? Math.floor(body.length * 0.6) : body.length;
      for (let at = 0; at < end; at += pieceBytes) yield body.subarray(at, Math.min(end, at + pieceBytes));
      if (isCut) throw new MigrateError('read-failed', 'cut', { data: { errno: 'ECONNRESET' } });
    })(),
  });
  if (fault === 'busy') return answer(503, { 'retry-after': '0' }, new Uint8Array());
  if (fault === 'no-such-range' && headers.range !== undefined) return answer(416, {}, new Uint8Array());
  const first = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
  const isPart = first > 0 && headers['if-range'] === etag && fault !== 'ignores-range';
  const body =
    fault === 'garbage' ? Buffer.alloc(file.length - (isPart ? first : 0)) : file.subarray(isPart ? first : 0);
  const isCut = fault === 'cut';
  if (fault === 'short-length') {
    const cut = body.subarray(0, body.length >> 1);
    return answer(200, { etag, 'content-length': String(cut.length) }, file.subarray(0, cut.length));
  }
  if (isPart) {
    const start = fault === 'wrong-place' ? first + 1 : first;
    return answer(206, { etag, 'content-range': `bytes ${start}-${file.length - 1}/${file.length}` }, body, isCut);
  }
  return answer(
    200,
    { etag, ...(fault === 'no-length' ? {} : { 'content-length': String(body.length) }) },
    body,
    isCut,
  );
}

function download(
  host: MemoryHost,
  http: Http,
  limits: Partial<DownloadLimits> = {},
  emit: (event: Event) => void = () => {},
) {
  return downloadFile({
    host,
    http,
    request: { method: 'GET', url: 'https://api.test/download', bearer: new Secret('canary-key') },
    source: 'image 1',
    name: 'image',
    partialDirectory: partial,
    emit,
    limits: { attempts: 4, firstRetryMs: 0, reserveBytes: 0, ...limits },
    finish: async (path) => {
      if (!isSound(await host.readFile(path))) throw new MigrateError('invalid-input', 'it is not sound');
      await host.rename(path, final);
    },
  });
}

const newHost = (onChange: (change: string) => void = () => {}): MemoryHost =>
  createMemoryHost({ files: { '/migration/balena-migrate.yml': '' }, onChange });

describe('a download', () => {
  test('goes on where it was cut, and leaves nothing beside the file', async () => {
    const host = newHost();
    const { http, asked } = faultyServer(['cut', 'busy', 'cut'], 1000);
    await download(host, http);
    expect(await host.readFile(final)).toEqual(new Uint8Array(soundFile(0, 1000)));
    expect(await host.list('/migration')).toEqual(['balena-migrate.yml', 'image']);
    expect(asked.map(({ headers }) => headers?.range)).toEqual([undefined, 'bytes=619-', 'bytes=619-', 'bytes=866-']);
  });

  test('starts over where the file has changed', async () => {
    const host = newHost();
    const { http } = faultyServer(['cut', 'other-file'], 1000);
    await download(host, http);
    expect(await host.readFile(final)).toEqual(new Uint8Array(soundFile(1, 1000)));
  });

  test('ends after attempts that bring nothing, and keeps what it has for the next time', async () => {
    const host = newHost();
    const { http } = faultyServer(['cut', 'refused', 'busy', 'refused', 'busy'], 1000);
    await expect(download(host, http)).rejects.toThrow(
      /given up after 4 attempts that brought nothing: status 503|no$/,
    );
    expect(await host.status(final)).toBeUndefined();
    expect(await host.list(partial)).toEqual(['data', 'record.json']);
    const { http: better, asked } = faultyServer([], 1000);
    await download(host, better);
    expect(asked.map(({ headers }) => headers?.range)).toEqual(['bytes=619-']);
    expect(isSound(await host.readFile(final))).toBe(true);
  });

  test('ends where the server always cuts at the same place and knows no ranges', async () => {
    const faults = Array<Fault>(100).fill('cut');
    const { http, asked } = faultyServer(faults, 4 * 1024 * 1024, 256 * 1024);
    const forgetful: Http = { ...http, request: (request) => http.request({ ...request, headers: {} }) };
    await expect(download(newHost(), forgetful)).rejects.toThrow('given up after 4 attempts');
    expect(asked).toHaveLength(4);
  });

  test('does not begin where the disk is too small', async () => {
    const host = createMemoryHost({ files: { '/migration/x': '' }, availableBytes: 2000 });
    const { http } = faultyServer([], 1000);
    await expect(download(host, http, { reserveBytes: 1000 })).rejects.toMatchObject({ code: 'no-space' });
    expect(await host.list('/migration')).toEqual(['x']);
  });

  test('asks a server anew that sends hardly anything', async () => {
    const { http, asked } = faultyServer([], 1000);
    await expect(download(newHost(), http, { slowMs: 0, slowBytes: 100 })).rejects.toThrow(
      'sent only 7 bytes in 0 seconds',
    );
    expect(asked).toHaveLength(4);
  });

  test('shows its progress, and its key nowhere', async () => {
    const events: Event[] = [];
    const host = newHost();
    const { http } = faultyServer(['cut', 'busy'], 1000);
    await download(host, http, {}, (event) => events.push(event));
    expect(events.filter(({ kind }) => kind === 'progress').at(-1)).toMatchObject({ done: 1032, total: 1032 });
    expect(JSON.stringify(events) + host.snapshot().join('')).not.toContain('canary-key');
  });

  test('with a checksum that does not fit is refused', async () => {
    const { http } = faultyServer([], 100);
    const wrong: Http = {
      ...http,
      request: async (request) => {
        const response = await http.request(request);
        return { ...response, headers: { ...response.headers, 'repr-digest': `sha-256=:${'A'.repeat(43)}=:` } };
      },
    };
    const host = newHost();
    await expect(download(host, wrong)).rejects.toMatchObject({ code: 'verify-mismatch' });
    expect(await host.list('/migration')).toEqual(['balena-migrate.yml']);
  });
});

const fault = fc.constantFrom<Fault>(
  ...(['none', 'cut', 'cut', 'cut', 'ignores-range', 'no-such-range', 'busy', 'refused', 'garbage'] as const),
  ...(['short-length', 'no-length', 'same-etag-other-file', 'other-file', 'wrong-place'] as const),
);

test('whatever goes wrong, the file under the final name is one that the server had, or there is none', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fault, { maxLength: 8 }), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 300 }),
      fc.array(fc.nat(40), { maxLength: 2 }),
      async (runs, sizeBytes, powerCuts) => {
        let changes = 0;
        let cutAt = powerCuts[0];
        const host = newHost(() => {
          changes += 1;
          if (changes === cutAt) throw new Error('power cut');
        });
        const served: Uint8Array[] = [];
        for (const [index, faults] of runs.entries()) {
          [changes, cutAt] = [0, powerCuts[index]];
          const server = faultyServer(faults, sizeBytes + index);
          await download(host, server.http).catch(() => {});
          served.push(...server.served);
          if ((await host.status(final)) !== undefined) break;
        }
        if ((await host.status(final)) !== undefined) {
          const file = Buffer.from(await host.readFile(final));
          expect(served.some((candidate) => file.equals(candidate))).toBe(true);
        }
      },
    ),
    { numRuns: 300 },
  );
});
