import type { Host, HostReader } from '../host/host.ts';
import type { TransferRecord } from './judge-response.ts';

/** The record of an earlier attempt at the same source; undefined where it is missing, damaged or of something else. */
export async function readTransferRecord(
  host: HostReader,
  path: string,
  source: string,
): Promise<TransferRecord | undefined> {
  try {
    const value: unknown = JSON.parse((await host.readText(path)) ?? '');
    return isRecord(value) && value.source === source ? value : undefined;
  } catch {
    return undefined;
  }
}

export async function writeTransferRecord(host: Host, path: string, record: TransferRecord): Promise<void> {
  await host.writeDurable(path, new TextEncoder().encode(`${JSON.stringify(record)}\n`), { mode: 0o600 });
}

function isRecord(value: unknown): value is TransferRecord {
  if (typeof value !== 'object' || value === null) return false;
  const { version, source, etag, lastModified, totalBytes, sha256, durableBytes } = value as Partial<
    Record<keyof TransferRecord, unknown>
  >;
  const isText = (part: unknown): boolean => part === undefined || typeof part === 'string';
  const isSize = (part: unknown): boolean => Number.isSafeInteger(part) && Number(part) >= 0;
  return (
    version === 1 &&
    typeof source === 'string' &&
    [etag, lastModified, sha256].every(isText) &&
    (totalBytes === undefined || isSize(totalBytes)) &&
    isSize(durableBytes)
  );
}
