// Lines of the log as servers take them.
import type { LogRecord } from './event-log.ts';

/** Whose log it is. */
export interface LogOrigin {
  readonly hostname: string;
  readonly stage: 1 | 2;
  readonly toolVersion: string;
  readonly planId?: string;
}

/** One JSON object on a line of its own (see docs/logs.md). */
export function jsonRecord(record: LogRecord, origin: LogOrigin): string {
  const { hostname, stage, toolVersion, planId } = origin;
  const { time, uptimeSeconds, level, kind, text } = record;
  return `${JSON.stringify({
    time,
    hostname,
    program: 'migrate',
    toolVersion,
    stage,
    ...(planId === undefined ? {} : { planId }),
    uptimeSeconds: Math.round(uptimeSeconds * 1000) / 1000,
    level,
    kind,
    text: text.trim(),
  })}\n`;
}

/** Facility "system daemons" with the severities of RFC 5424, 6.2.1. */
const facility = 3;
const severities = { error: 3, warn: 4, info: 6, debug: 7, trace: 7 } as const;
/** What every receiver should take (RFC 5424, 6.1). */
const syslogLimitBytes = 2048;
/** A clock before this was never set. */
const oldestTime = '2020';

/** One message of RFC 5424: PROCID is the stage, MSGID the kind of event. */
export function syslogMessage(record: LogRecord, { hostname, stage }: LogOrigin): Uint8Array {
  const priority = facility * 8 + severities[record.level];
  const time = record.time < oldestTime ? '-' : record.time;
  const header = `<${priority}>1 ${time} ${syslogName(hostname, 255)} migrate stage${stage} ${record.kind} - `;
  // Control characters are for no log (8.2); what is cut must not end within a character.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const text = record.text.trim().replace(/[\u0000-\u001f\u007f]+/g, ' ');
  const bytes = Buffer.from(header + text);
  if (bytes.length <= syslogLimitBytes) return bytes;
  let end = syslogLimitBytes;
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}

/** Octet counting (RFC 6587, 3.4.1), as RFC 5425 demands it for TLS too. */
export function octetCounted(message: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from(`${message.length} `), message]);
}

/** PRINTUSASCII without blanks, or none. */
function syslogName(name: string, limit: number): string {
  return /^[\x21-\x7e]+$/.test(name) ? name.slice(0, limit) : '-';
}
