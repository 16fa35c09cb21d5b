// Decides what a response to a download means: pure, by RFC 9110 sections 13 (conditional requests) and 14 (ranges).
import { isPassing } from './retry.ts';

/** What is known of a download that has begun; lies beside the partial file. */
export interface TransferRecord {
  readonly version: 1;
  /** What is downloaded; another one starts over. */
  readonly source: string;
  /** As the server gave them. */
  readonly etag?: string;
  readonly lastModified?: string;
  /** Size of the whole file, where the server has told. */
  readonly totalBytes?: number;
  /** sha256 of the whole file, where the server has told: lower-case hex. */
  readonly sha256?: string;
  /** Bytes from the start that are on the medium. */
  readonly durableBytes: number;
}

export type Verdict =
  /** The body goes into the file at a position. */
  | { readonly kind: 'take'; readonly position: number; readonly record: TransferRecord; readonly bodyBytes?: number }
  /** What was received so far is of no use; ask again for everything. */
  | { readonly kind: 'discard'; readonly reason: string }
  /** Ask again later. */
  | { readonly kind: 'later'; readonly reason: string; readonly retryAfter?: string }
  /** It will not get better by asking again. */
  | { readonly kind: 'refused'; readonly reason: string };

type Headers = Readonly<Record<string, string>>;

/** What identifies the file strongly enough to go on with it (RFC 9110, section 13.1.5): no weak ETag. */
function strongValidator({ etag, lastModified }: Pick<TransferRecord, 'etag' | 'lastModified'>): string | undefined {
  if (etag !== undefined) return etag.startsWith('W/') ? undefined : etag;
  return lastModified;
}

/** Headers of the next request: for the rest where that is safe, else none. */
export function rangeHeaders(record: TransferRecord | undefined): Headers {
  if (record === undefined || record.durableBytes === 0) return {};
  const validator = strongValidator(record);
  return validator === undefined ? {} : { range: `bytes=${record.durableBytes}-`, 'if-range': validator };
}

/** What to do with a response to a request with `rangeHeaders(record)`. */
export function judgeResponse(
  { status, headers }: { status: number; headers: Headers },
  { source, record }: { source: string; record?: TransferRecord | undefined },
): Verdict {
  if (isPassing(status)) {
    const retryAfter = headers['retry-after'];
    return { kind: 'later', reason: `status ${status}`, ...(retryAfter === undefined ? {} : { retryAfter }) };
  }
  const isRange = record !== undefined && 'range' in rangeHeaders(record);
  if (status === 416 && isRange) return { kind: 'discard', reason: 'the server has no such range' };
  if (status === 206 && isRange) return judgePart(headers, record);
  if (status !== 200) return { kind: 'refused', reason: `the server answers with status ${status}` };
  const announced = announcedBy(headers);
  if (announced.totalBytes === 0) return { kind: 'refused', reason: 'the server sends an empty file' };
  // Also where a part was asked for: the file has changed, or the server knows no ranges.
  return {
    kind: 'take',
    position: 0,
    record: { version: 1, source, ...announced, durableBytes: 0 },
    ...bodyBytesOf(headers),
  };
}

function judgePart(headers: Headers, record: TransferRecord): Verdict {
  const { etag } = headers;
  if (etag !== undefined && record.etag !== undefined && etag !== record.etag)
    return { kind: 'discard', reason: 'the file has changed on the server' };
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(headers['content-range'] ?? '') ?? [];
  const isOther = total !== '*' && record.totalBytes !== undefined && Number(total) !== record.totalBytes;
  const bodyBytes = Number(last) - Number(first) + 1;
  const announced = headers['content-length'];
  const isInconsistent = announced !== undefined && Number(announced) !== bodyBytes;
  if (Number(first) !== record.durableBytes || isOther || isInconsistent || !(bodyBytes > 0))
    return { kind: 'discard', reason: 'the server sends another part than was asked for' };
  const totalBytes = total === '*' ? record.totalBytes : Number(total);
  if (totalBytes !== undefined && Number(last) >= totalBytes)
    return { kind: 'discard', reason: 'the server sends a part beyond the end of the file' };
  return {
    kind: 'take',
    position: record.durableBytes,
    bodyBytes,
    record: { ...record, ...(totalBytes === undefined ? {} : { totalBytes }) },
  };
}

function announcedBy(headers: Headers): Partial<TransferRecord> {
  const { etag, 'last-modified': lastModified } = headers;
  const sha256 = announcedSha256(headers);
  const { bodyBytes } = bodyBytesOf(headers);
  return {
    ...(etag === undefined ? {} : { etag }),
    ...(lastModified === undefined ? {} : { lastModified }),
    ...(bodyBytes === undefined ? {} : { totalBytes: bodyBytes }),
    ...(sha256 === undefined ? {} : { sha256 }),
  };
}

function bodyBytesOf(headers: Headers): { bodyBytes?: number } {
  const length = headers['content-length'];
  return length !== undefined && /^\d{1,15}$/.test(length) ? { bodyBytes: Number(length) } : {};
}

/** Of Repr-Digest (RFC 9530), or of the older Digest (RFC 3230): both speak of the whole file. */
function announcedSha256(headers: Headers): string | undefined {
  const found =
    /(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):/.exec(headers['repr-digest'] ?? '')?.[1] ??
    /(?:^|,)\s*sha-256=([A-Za-z0-9+/]{43}=)/i.exec(headers.digest ?? '')?.[1];
  return found === undefined ? undefined : Buffer.from(found, 'base64').toString('hex');
}
