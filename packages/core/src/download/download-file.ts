// Downloads a large file: in pieces, through whatever servers and networks do, and never under its final name before it is proven.
import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { MigrateError, throwIfCancelled } from '../error.ts';
import type { Emit } from '../execute/event.ts';
import { withLock } from '../execute/lock.ts';
import type { Host } from '../host/host.ts';
import type { Http, HttpRequest, HttpResponse } from '../host/http.ts';
import { judgeResponse, rangeHeaders, type TransferRecord } from './judge-response.ts';
import { isPassingError, pause, retryDelayMs } from './retry.ts';
import { readTransferRecord, writeTransferRecord } from './transfer-record.ts';

export interface DownloadRequest {
  readonly host: Host;
  readonly http: Http;
  /** With another method than GET it cannot be continued (RFC 9110, section 14.2). */
  readonly request: Pick<HttpRequest, 'method' | 'url' | 'bearer' | 'headers' | 'body'>;
  /** What is downloaded, in words that stay the same; a partial file of anything else starts over. */
  readonly source: string;
  /** Name for progress and messages. */
  readonly name: string;
  /** Where the parts are kept until the end; made and removed. */
  readonly partialDirectory: string;
  /**
   * Proves the complete file and puts it where it belongs. What it throws as `invalid-input`, `wrong-image` or `verify-mismatch` means
   * that the file is not sound: it is downloaded once more from its start.
   */
  readonly finish: (path: string) => Promise<void>;
  readonly emit: Emit;
  readonly signal?: AbortSignal;
  readonly limits?: Partial<DownloadLimits>;
}

export interface DownloadLimits {
  /** Attempts in a row that may bring nothing. */
  readonly attempts: number;
  /** First wait between attempts, doubled each time. */
  readonly firstRetryMs: number;
  /** How long the server may send nothing. */
  readonly idleMs: number;
  /** A server that sends less than `slowBytes` in this time is asked anew. */
  readonly slowMs: number;
  readonly slowBytes: number;
  /** Free space that is left alone, in bytes. */
  readonly reserveBytes: number;
}

const defaultLimits: DownloadLimits = {
  attempts: 8,
  firstRetryMs: 1000,
  idleMs: 60_000,
  slowMs: 60_000,
  slowBytes: 64 * 1024,
  reserveBytes: 64 * 1024 * 1024,
};

/** What a power cut may cost, and what must arrive for an attempt to count as one that brought something. */
const durableStepBytes = 16 * 1024 * 1024;
const progressBytes = 1024 * 1024;
const soundnessErrors = ['invalid-input', 'wrong-image', 'verify-mismatch'];

/**
 * Downloads a file, continuing what an earlier call left, and hands it to `finish`. Whatever else happens, the parts stay for the next
 * call. Throws `read-failed` where the server refuses or too many attempts bring nothing, `no-space`, `cancelled`, `locked` where another
 * process is at it, and what `finish` throws.
 */
export async function downloadFile(request: DownloadRequest): Promise<void> {
  const limits = { ...defaultLimits, ...request.limits };
  await withLock(request.host, request.partialDirectory, () => repeat({ ...request, limits, ...pathsOf(request) }));
}

interface Work extends DownloadRequest {
  readonly limits: DownloadLimits;
  readonly dataPath: string;
  readonly recordPath: string;
}

function pathsOf({ partialDirectory }: DownloadRequest): Pick<Work, 'dataPath' | 'recordPath'> {
  return { dataPath: `${partialDirectory}/data`, recordPath: `${partialDirectory}/record.json` };
}

type Attempt =
  | { readonly kind: 'complete'; readonly record: TransferRecord }
  /** `reachedBytes`: how far the file came, from its start. */
  | { readonly kind: 'failed'; readonly reason: string; readonly reachedBytes: number; readonly retryAfter?: string };

async function repeat(work: Work): Promise<void> {
  const { host, limits, signal, name, emit } = work;
  let failures = 0;
  let hasBeenUnsound = false;
  let furthest = (await usableRecord(work))?.durableBytes ?? 0;
  for (;;) {
    const attempt = await tryOnce(work);
    if (attempt.kind === 'complete') {
      const fault = await finishOr(work, attempt.record);
      if (fault === undefined) return;
      if (hasBeenUnsound) throw fault;
      hasBeenUnsound = true;
      emit({ kind: 'note', level: 'warn', text: `${name} is downloaded again: ${fault.message}` });
      continue;
    }
    // By the furthest ever: a server that always cuts at the same place brings nothing.
    const isFurther = attempt.reachedBytes >= furthest + progressBytes;
    furthest = Math.max(furthest, attempt.reachedBytes);
    failures = isFurther ? 1 : failures + 1;
    if (failures >= limits.attempts) {
      const message = `downloading ${name}: given up after ${failures} attempts that brought nothing: ${attempt.reason}`;
      throw new MigrateError('read-failed', message);
    }
    const { retryAfter } = attempt;
    const delayMs = retryDelayMs(failures, { retryAfter, nowMs: host.now().getTime(), firstMs: limits.firstRetryMs });
    emit({
      kind: 'note',
      level: 'warn',
      text: `downloading ${name}: ${attempt.reason}; trying again in ${Math.ceil(delayMs / 1000)} s`,
    });
    await pause(delayMs, signal);
  }
}

async function tryOnce(work: Work): Promise<Attempt> {
  const { http, host, request, recordPath, source, limits, signal } = work;
  throwIfCancelled(signal);
  const record = await usableRecord(work);
  if (record !== undefined && record.durableBytes === record.totalBytes) return { kind: 'complete', record };
  let response: HttpResponse;
  try {
    response = await http.request({
      ...request,
      headers: { ...request.headers, ...rangeHeaders(record) },
      idleMs: limits.idleMs,
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (thrown) {
    if (!isPassingError(thrown)) throw thrown;
    return { kind: 'failed', reason: thrown.message, reachedBytes: 0 };
  }
  try {
    const verdict = judgeResponse(response, { source, record });
    if (verdict.kind === 'refused')
      throw new MigrateError('read-failed', `downloading ${work.name}: ${response.url}: ${verdict.reason}`, {
        data: { status: response.status },
      });
    if (verdict.kind === 'take') return await receive(work, response, verdict);
    if (verdict.kind === 'discard') await host.removeFile(recordPath);
    return { reachedBytes: 0, ...verdict, kind: 'failed' };
  } finally {
    response.close();
  }
}

/** The record of an earlier attempt, as far as the partial file bears it out. */
async function usableRecord({
  host,
  recordPath,
  dataPath,
  source,
  request,
}: Work): Promise<TransferRecord | undefined> {
  const record = await readTransferRecord(host, recordPath, source);
  const sizeBytes = (await host.status(dataPath))?.sizeBytes ?? 0;
  if (record === undefined || sizeBytes < record.durableBytes) return undefined;
  const isComplete = record.durableBytes === record.totalBytes;
  return request.method === 'GET' || isComplete ? record : undefined;
}

interface Taken {
  readonly position: number;
  readonly record: TransferRecord;
  readonly bodyBytes?: number;
}

/** Writes a body into the partial file, as far as it comes. */
async function receive(work: Work, response: HttpResponse, { position, bodyBytes, ...taken }: Taken): Promise<Attempt> {
  const { host, dataPath, recordPath } = work;
  let { record } = taken;
  if (position === 0) {
    await host.removeFile(recordPath);
    await host.removeFile(dataPath);
    await checkSpace(work, record.totalBytes ?? 0);
    await host.createExclusive(dataPath, new Uint8Array(), 0o600);
  } else {
    await checkSpace(work, (record.totalBytes ?? 0) - position);
  }
  const file = await host.openWrite(dataPath);
  const save = async (durableBytes: number): Promise<void> => {
    await file.flush();
    await writeTransferRecord(host, recordPath, { ...record, durableBytes });
  };
  let end = position;
  try {
    let saved = position;
    for await (const chunk of paced(work, response)) {
      if (bodyBytes !== undefined && end + chunk.length > position + bodyBytes)
        throw brokenTransfer('the server sends more than it announced');
      await file.write(chunk, end);
      end += chunk.length;
      if (end - saved >= durableStepBytes) {
        await save(end);
        saved = end;
      }
      report(work, record, { before: end - chunk.length, end });
    }
    if (bodyBytes !== undefined && end !== position + bodyBytes)
      throw brokenTransfer('the server sends less than it announced');
    const isWhole = record.totalBytes === undefined || end === record.totalBytes;
    if (isWhole) record = { ...record, totalBytes: end };
    await save(end);
    return isWhole
      ? { kind: 'complete', record }
      : { kind: 'failed', reason: 'the server sent only a part', reachedBytes: end };
  } catch (thrown) {
    if (!isPassingError(thrown)) throw thrown;
    await save(end);
    return { kind: 'failed', reason: thrown.message, reachedBytes: end };
  } finally {
    await file.close();
  }
}

function brokenTransfer(message: string): MigrateError {
  return new MigrateError('read-failed', message, { data: { errno: 'EPROTO' } });
}

/** The body, until it comes too slowly to ever come to an end. */
async function* paced({ limits }: Work, { body, url }: HttpResponse): AsyncGenerator<Uint8Array> {
  let startMs = performance.now();
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (performance.now() - startMs >= limits.slowMs) {
      if (bytes < limits.slowBytes)
        throw new MigrateError('timeout', `${url} sent only ${bytes} bytes in ${limits.slowMs / 1000} seconds`);
      [startMs, bytes] = [performance.now(), 0];
    }
    yield chunk;
  }
}

function report(
  { emit, name }: Work,
  { totalBytes }: TransferRecord,
  { before, end }: { before: number; end: number },
): void {
  const text = `downloading ${name}`;
  if (totalBytes !== undefined) emit({ kind: 'progress', text, done: end, total: totalBytes, unit: 'bytes' });
  // Of an unknown whole there are no percents.
  else if (Math.floor(before / durableStepBytes) !== Math.floor(end / durableStepBytes))
    emit({ kind: 'note', level: 'info', text: `${text}: ${Math.floor(end / 1024 / 1024)} MiB so far` });
}

async function checkSpace({ host, name, partialDirectory, limits }: Work, neededBytes: number): Promise<void> {
  const directory = dirname(partialDirectory);
  const { availableBytes } = await host.freeSpace(directory);
  if (availableBytes >= neededBytes + limits.reserveBytes) return;
  const mib = (bytes: number): number => Math.ceil(bytes / 1024 / 1024);
  throw new MigrateError(
    'no-space',
    `downloading ${name}: ${mib(neededBytes)} MiB more and ${mib(limits.reserveBytes)} MiB left free do not fit into ${directory}, which has ${mib(availableBytes)} MiB`,
  );
}

/** Has the complete file proven and put into place; returns the error where it is not sound, and removes it then. */
async function finishOr(work: Work, record: TransferRecord): Promise<MigrateError | undefined> {
  const { host, dataPath, recordPath, finish } = work;
  try {
    await checkSha256(work, record);
    await finish(dataPath);
    await host.removeFile(recordPath);
    await host.removeFile(dataPath);
    return undefined;
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || !soundnessErrors.includes(thrown.code)) throw thrown;
    await host.removeFile(recordPath);
    await host.removeFile(dataPath);
    return thrown;
  }
}

async function checkSha256(
  { host, dataPath, name, signal }: Work,
  { sha256, totalBytes = 0 }: TransferRecord,
): Promise<void> {
  const file = await host.openRead(dataPath);
  try {
    if (file.sizeBytes !== totalBytes)
      throw new MigrateError('verify-mismatch', `${name} has ${file.sizeBytes} bytes, not ${totalBytes}`);
    if (sha256 === undefined) return;
    const hash = createHash('sha256');
    const chunk = Buffer.alloc(1024 * 1024);
    for (let position = 0; position < totalBytes; position += chunk.length) {
      throwIfCancelled(signal);
      hash.update(chunk.subarray(0, await file.read(chunk, position)));
    }
    const found = hash.digest('hex');
    if (found !== sha256)
      throw new MigrateError('verify-mismatch', `the sha256 of ${name} is ${found}, the server says ${sha256}`);
  } finally {
    await file.close();
  }
}
