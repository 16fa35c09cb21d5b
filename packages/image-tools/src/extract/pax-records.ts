// Records of pax extended headers: POSIX.1-2017, pax, "pax Extended Header".
import { type TarHeader, tarHeader, tarPadding } from './tar-header.ts';

export type PaxRecord = readonly [keyword: string, value: Uint8Array | string];

/** The extended header that stands before an entry; no bytes where there are no records. */
export function paxHeader(records: readonly PaxRecord[]): Buffer {
  if (records.length === 0) return Buffer.alloc(0);
  const body = Buffer.concat(records.map(paxRecord));
  const header: TarHeader = { type: 'x', path: Buffer.from('PaxHeaders/next'), mode: 0o644, sizeBytes: body.length };
  return Buffer.concat([tarHeader(header), body, Buffer.alloc(tarPadding(body.length))]);
}

/** "LENGTH KEYWORD=VALUE\n", where the length in decimal counts its own digits too. */
export function paxRecord([keyword, value]: PaxRecord): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${keyword}=`), Buffer.from(value), Buffer.from('\n')]);
  let length = rest.length + String(rest.length).length;
  if (rest.length + String(length).length !== length) length += 1;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

/** Nanoseconds since 1970 as decimal seconds: "-1.5" is half a second before the last second before 1970. */
export function paxTime(modifiedNs: bigint): string {
  const magnitude = modifiedNs < 0n ? -modifiedNs : modifiedNs;
  const fraction = String(magnitude % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${modifiedNs < 0n ? '-' : ''}${magnitude / 1_000_000_000n}${fraction === '' ? '' : `.${fraction}`}`;
}
