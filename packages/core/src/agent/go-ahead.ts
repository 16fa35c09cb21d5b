// The word of an operator that a device may migrate, or should say whether it could.
import { MigrateError } from '../error.ts';

export interface GoAhead {
  /** The operator's name for it, never used twice. */
  readonly id: string;
  /** The devices that are meant, each by its name; there is no word for all. */
  readonly devices: readonly string[];
  readonly action: 'pretend' | 'migrate';
  /** The plan that is meant, as a report named it. */
  readonly plan?: string;
  /** When it was given, by the operator's clock, in milliseconds of Unix time: a later one overrides, an earlier one is void. */
  readonly issuedMs: number;
  /** When it ends by the device's clock, which may be wrong. */
  readonly expiresMs?: number;
}

export const goAheadLimitBytes = 256 * 1024;
const fields = ['id', 'device', 'devices', 'action', 'plan', 'issuedAt', 'expiresAt'];

/**
 * Parses `{"id", "device" or "devices", "action": "pretend" | "migrate", "issuedAt", "plan"?, "expiresAt"?}` with times as RFC 3339
 * has them. Anything missing, odd or unknown makes it void: throws `invalid-input`.
 */
export function parseGoAhead(text: string): GoAhead {
  const values = objectOf(text);
  const unknown = [...values.keys()].find((name) => !fields.includes(name));
  if (unknown !== undefined) throw invalid(`it has a field ${JSON.stringify(unknown)} that this version does not know`);
  const [id, action, plan] = [values.get('id'), values.get('action'), values.get('plan')];
  if (!isName(id)) throw invalid('its id must be 1 to 128 letters, digits, ".", ":", "_" or "-"');
  if (action !== 'pretend' && action !== 'migrate') throw invalid('its action must be "pretend" or "migrate"');
  if (plan !== undefined && !isName(plan)) throw invalid('its plan must be the one that a report names');
  const devices: unknown = values.get('devices') ?? [values.get('device')];
  if (!Array.isArray(devices) || devices.length === 0 || !devices.every(isDeviceName))
    throw invalid('it must name the device, or a list of devices');
  const expires = values.get('expiresAt');
  return {
    id,
    action,
    devices,
    issuedMs: timeOf(values.get('issuedAt'), 'issuedAt'),
    ...(plan === undefined ? {} : { plan }),
    ...(expires === undefined ? {} : { expiresMs: timeOf(expires, 'expiresAt') }),
  };
}

function objectOf(text: string): ReadonlyMap<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    throw invalid('it is not valid JSON');
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw invalid('it must be one JSON object');
  return new Map<string, unknown>(Object.entries(parsed));
}

function isName(value: unknown): value is string {
  return typeof value === 'string' && /^[\w.:-]{1,128}$/.test(value);
}

function isDeviceName(value: unknown): value is string {
  return typeof value === 'string' && value.length >= 1 && value.length <= 256;
}

/** RFC 3339 with its offset: a time without one would be another on each device. */
function timeOf(value: unknown, name: string): number {
  const isTime =
    typeof value === 'string' && /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(value);
  const time = isTime ? Date.parse(value) : Number.NaN;
  if (Number.isNaN(time)) throw invalid(`its ${name} must be a time like 2026-01-31T12:00:00Z`);
  return time;
}

function invalid(message: string): MigrateError {
  return new MigrateError('invalid-input', `the go-ahead is void: ${message}`);
}
