import { describe, expect, test } from 'vitest';
import { judgeResponse, rangeHeaders, type TransferRecord } from './judge-response.ts';

const source = 'an image';
const record: TransferRecord = { version: 1, source, etag: '"a"', totalBytes: 100, durableBytes: 40 };
const judge = (status: number, headers: Record<string, string>, of: TransferRecord | undefined = record) =>
  judgeResponse({ status, headers }, { source, record: of });
const part = { 'content-range': 'bytes 40-99/100', 'content-length': '60' };

describe('the rest of a file', () => {
  test('is asked for only where it can be told that it is the same file', () => {
    expect(rangeHeaders(record)).toEqual({ range: 'bytes=40-', 'if-range': '"a"' });
    expect(rangeHeaders({ ...record, etag: 'W/"a"' })).toEqual({});
    const { etag, ...dated } = { ...record, lastModified: 'Thu, 01 Jan 2026 00:00:00 GMT' };
    expect(etag).toBe('"a"');
    expect(rangeHeaders(dated)).toMatchObject({ 'if-range': 'Thu, 01 Jan 2026 00:00:00 GMT' });
    expect(rangeHeaders({ version: 1, source, durableBytes: 40 })).toEqual({});
    expect(rangeHeaders({ ...record, durableBytes: 0 })).toEqual({});
    expect(rangeHeaders(undefined)).toEqual({});
  });

  test('is appended', () => {
    expect(judge(206, part)).toEqual({ kind: 'take', position: 40, bodyBytes: 60, record });
    expect(judge(206, { 'content-range': 'bytes 40-79/*' })).toMatchObject({ position: 40, bodyBytes: 40 });
  });

  test.each([
    ['another ETag', { ...part, etag: '"b"' }],
    ['another place', { ...part, 'content-range': 'bytes 39-99/100' }],
    ['another size', { ...part, 'content-range': 'bytes 40-99/101' }],
    ['another length', { ...part, 'content-length': '61' }],
    ['a place beyond its end', { 'content-range': 'bytes 40-100/100' }],
    ['an end before its start', { 'content-range': 'bytes 40-39/100' }],
    ['no place', {}],
    ['several parts', { 'content-type': 'multipart/byteranges' }],
  ])('with %s starts over', (_, headers) => {
    expect(judge(206, headers)).toMatchObject({ kind: 'discard' });
  });

  test('gives way to a whole file, which is a new one', () => {
    expect(judge(200, { 'content-length': '90', etag: '"b"' })).toEqual({
      kind: 'take',
      position: 0,
      bodyBytes: 90,
      record: { version: 1, source, etag: '"b"', totalBytes: 90, durableBytes: 0 },
    });
  });

  test('starts over where the server has no such range', () => {
    expect(judge(416, { 'content-range': 'bytes */100' })).toMatchObject({ kind: 'discard' });
    expect(judgeResponse({ status: 416, headers: {} }, { source })).toMatchObject({ kind: 'refused' });
  });
});

test('what passes is waited for, and what does not is refused', () => {
  expect(judge(429, { 'retry-after': '7' })).toEqual({ kind: 'later', reason: 'status 429', retryAfter: '7' });
  expect(judge(503, {})).toEqual({ kind: 'later', reason: 'status 503' });
  for (const status of [204, 301, 400, 401, 404]) expect(judge(status, {}).kind).toBe('refused');
  expect(judgeResponse({ status: 206, headers: part }, { source }).kind).toBe('refused');
  expect(judge(200, { 'content-length': '0' }).kind).toBe('refused');
});

test('a checksum that the server gives is kept', () => {
  const digest = `${'A'.repeat(43)}=`;
  const sha256 = '0'.repeat(64);
  for (const headers of [
    { 'repr-digest': `sha-512=:abc=:, sha-256=:${digest}:` },
    { digest: `md5=xyz==,SHA-256=${digest}` },
  ]) {
    expect(judge(200, headers)).toMatchObject({ record: { sha256 } });
  }
  expect(judge(200, { 'repr-digest': 'sha-256=:short:' })).not.toHaveProperty('record.sha256');
});
