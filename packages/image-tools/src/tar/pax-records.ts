// Extended header records: POSIX.1-2017 pax, "pax Extended Header", with the keywords of GNU tar and star that carry what
// Linux files have.
import { MigrateError } from '@migrate/core';

/** Keyword to value, one character for each byte. */
export type PaxRecords = ReadonlyMap<string, string>;

/** What GNU tar restores; it would pass over any other with a warning. */
const knownKeywords =
  /^(path|linkpath|size|uid|gid|uname|gname|mtime|atime|ctime|comment|SCHILY\.(xattr\..+|acl\.(access|default))|RHT\.security\.selinux|GNU\.sparse\.(major|minor|name|realsize|size|numblocks|map))$/s;

/** Throws `invalid-input` for records that are malformed, given twice, or unknown to GNU tar. */
export function parsePaxRecords(bytes: Buffer): PaxRecords {
  const text = bytes.toString('latin1');
  const records = new Map<string, string>();
  for (let start = 0; start < text.length; ) {
    const [, digits = ''] = /^([1-9]\d{0,6}) /.exec(text.slice(start, start + 8)) ?? [];
    const length = Number(digits);
    const record = text.slice(start + digits.length + 1, start + length);
    const equals = record.indexOf('=');
    const keyword = record.slice(0, equals);
    // To GNU tar a keyword ends at a zero, and the record is malformed.
    const isWhole = length > 0 && start + length <= text.length && equals > 0 && record.endsWith('\n');
    if (!isWhole || keyword.includes('\0')) throw damaged('an extended header is malformed');
    if (records.has(keyword)) throw damaged(`an extended header has ${keyword} twice`);
    if (!knownKeywords.test(keyword)) throw damaged(`it has the extended header ${keyword}, which would be lost`);
    records.set(keyword, record.slice(equals + 1, -1));
    start += length;
  }
  return records;
}

/** A whole number of at least 0; undefined where there is no such record. */
export function paxNumber(records: PaxRecords, keyword: string): number | undefined {
  const text = records.get(keyword);
  if (text === undefined) return undefined;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw damaged(`an extended header has ${keyword}=${text}`);
  return value;
}

function damaged(why: string): MigrateError {
  return new MigrateError('invalid-input', why);
}
