// The calls to balena's API that a migration makes (resources of open-balena-api, version 6; OData by Pine.js).
import { isPassing, isPassingError, pause, retryDelayMs } from '../download/retry.ts';
import { MigrateError } from '../error.ts';
import { type Http, type HttpRequest, readBody, shownUrl } from '../host/http.ts';
import type { CloudAccess } from './cloud-access.ts';

export interface ApiContext {
  readonly http: Http;
  readonly access: Pick<CloudAccess, 'apiEndpoint' | 'key' | 'uuid'>;
  readonly signal?: AbortSignal;
  /** Time limit of one call, in milliseconds. */
  readonly timeoutMs?: number;
  /** First wait before a call is repeated, in milliseconds; 1000 where it is left out. */
  readonly firstRetryMs?: number;
}

const attempts = 4;
const answerLimitBytes = 16 * 1024 * 1024;

/** The released versions of balenaOS for a device type, as `raw_version` says them. */
export async function listOsVersions(context: ApiContext, deviceType: string): Promise<readonly string[]> {
  const slug = odataText(deviceType);
  const policy = `bta/application_tag/any(at:at/tag_key eq 'release-policy')`;
  const isDefault = `bta/application_tag/any(at:(at/tag_key eq 'release-policy') and (at/value eq 'default'))`;
  const filter = [
    '(is_final eq true) and (is_passing_tests eq true) and (is_invalidated eq false)',
    `(status eq 'success')`,
    `(belongs_to__application/any(bta:((bta/is_host eq true) and (bta/is_for__device_type/any(iodt:iodt/slug eq ${slug}))) and ((not(${policy})) or (${isDefault}))))`,
  ].join(' and ');
  const rows = await query(context, 'release', {
    $select: 'raw_version',
    $filter: filter,
    $orderby: 'created_at desc',
  });
  return rows.flatMap(({ raw_version: version }) => (typeof version === 'string' ? [version] : []));
}

/** Whether the device type is installed by a flasher image; throws `not-found` for one that the API does not know. */
export async function isFlasherType(context: ApiContext, deviceType: string): Promise<boolean> {
  const filter = `device_type_alias/any(dta:dta/is_referenced_by__alias eq ${odataText(deviceType)})`;
  const [row] = await query(context, 'device_type', { $top: '1', $select: 'contract', $filter: filter });
  if (row === undefined) {
    throw new MigrateError('not-found', `${context.access.apiEndpoint} knows no device type ${deviceType}`);
  }
  return isFlasherContract(row.contract);
}

/**
 * The rule of a device type's contract: it boots from internal storage, can boot from another medium, and that is no protocol of a
 * cable (balena-io/contracts, README: hw.device-type).
 */
export function isFlasherContract(contract: unknown): boolean {
  const data = field(contract, 'data');
  const media = field(data, 'media');
  const altBoot = field(media, 'altBoot');
  const flashProtocol = field(data, 'flashProtocol');
  return (
    field(media, 'defaultBoot') === 'internal' &&
    Array.isArray(altBoot) &&
    altBoot.length > 0 &&
    (flashProtocol === undefined || flashProtocol === null)
  );
}

export interface ImageWish {
  readonly deviceType: string;
  /** `raw_version` of a release. */
  readonly version: string;
  /** Whether the raw image is to be asked for, where the usual one is a flasher image. */
  readonly wantsRaw: boolean;
}

/** The address of an image, packed with gzip, for GET: no other method can be continued after a cut. */
export function imageAddress(apiEndpoint: string, { deviceType, version, wantsRaw }: ImageWish): string {
  const words = { deviceType, version, fileType: '.gz', ...(wantsRaw ? { imageType: 'raw' } : {}) };
  return `${apiEndpoint}/download?${new URLSearchParams(words)}`;
}

/** Whether the API accepts the key; throws where that cannot be told. */
export async function isKeyAccepted(context: ApiContext): Promise<boolean> {
  const { status, text } = await call(context, { method: 'GET', path: '/actor/v1/whoami' });
  if (status === 401) return false;
  if (status === 200) return true;
  throw failed(context, '/actor/v1/whoami', status, text);
}

/** Shows in the dashboard how far a registered device is: `progress` in percent, `state` a short text. */
export async function reportProvisioning(
  context: ApiContext,
  { progress, state }: { progress: number; state: string },
): Promise<void> {
  const path = `/v6/device(uuid=${encodeURIComponent(odataText(context.access.uuid ?? ''))})`;
  const body = { provisioning_progress: Math.round(progress), provisioning_state: state, status: 'configuring' };
  const { status, text } = await call(context, { method: 'PATCH', path, body: JSON.stringify(body) });
  if (status >= 300) throw failed(context, path, status, text);
}

/** The value of a variable of the registered device; undefined where it has none of this name. */
export async function readDeviceVariable(context: ApiContext, name: string): Promise<string | undefined> {
  const uuid = odataText(context.access.uuid ?? '');
  const filter = `(device/any(d:d/uuid eq ${uuid})) and (name eq ${odataText(name)})`;
  const [row] = await query(context, 'device_environment_variable', { $top: '1', $select: 'value', $filter: filter });
  return typeof row?.value === 'string' ? row.value : undefined;
}

type Row = Readonly<Record<string, unknown>>;

/** Rows of a resource: `{"d": [...]}`. */
async function query(context: ApiContext, resource: string, options: Readonly<Record<string, string>>): Promise<Row[]> {
  const words = Object.entries(options).map(([name, value]) => `${name}=${encodeURIComponent(value)}`);
  const path = `/v6/${resource}?${words.join('&')}`;
  const { status, text } = await call(context, { method: 'GET', path });
  if (status !== 200) throw failed(context, path, status, text);
  try {
    const rows = field(JSON.parse(text), 'd');
    if (Array.isArray(rows)) return rows.filter((row): row is Row => typeof row === 'object' && row !== null);
  } catch {
    // Falls through to the one error below.
  }
  throw new MigrateError(
    'read-failed',
    `${addressOf(context, path)} answers with something else than rows of ${resource}`,
  );
}

interface Call {
  readonly method: HttpRequest['method'];
  readonly path: string;
  readonly body?: string;
}

/** One call, repeated where it may pass; the last answer counts. */
async function call(context: ApiContext, { method, path, body }: Call): Promise<{ status: number; text: string }> {
  const { http, access, signal, timeoutMs, firstRetryMs } = context;
  for (let attempt = 1; ; attempt += 1) {
    let retryAfter: string | undefined;
    try {
      const response = await http.request({
        method,
        url: `${access.apiEndpoint}${path}`,
        bearer: access.key,
        headers: { accept: 'application/json', ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body }),
        ...(signal === undefined ? {} : { signal }),
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
      });
      const text = new TextDecoder().decode(await readBody(response, answerLimitBytes));
      if (!isPassing(response.status) || attempt === attempts) return { status: response.status, text };
      retryAfter = response.headers['retry-after'];
    } catch (thrown) {
      if (!isPassingError(thrown) || attempt === attempts) throw thrown;
    }
    await pause(
      retryDelayMs(attempt, {
        retryAfter,
        nowMs: Date.now(),
        ...(firstRetryMs === undefined ? {} : { firstMs: firstRetryMs }),
      }),
      signal,
    );
  }
}

function failed(context: ApiContext, path: string, status: number, text: string): MigrateError {
  const where = addressOf(context, path);
  if (status === 401)
    return new MigrateError('read-failed', `${where} does not accept the key of config.json (status 401)`);
  // The API's own words are short texts in quotes; pages of proxies in between are not.
  const words = text.length < 200 && !text.includes('<') ? `: ${text.replace(/[\r\n]+/g, ' ')}` : '';
  return new MigrateError('read-failed', `${where} answers with status ${status}${words}`);
}

function addressOf({ access }: ApiContext, path: string): string {
  return shownUrl(`${access.apiEndpoint}${path}`);
}

/** A string literal of OData: quotes are doubled. */
function odataText(value: string): string {
  return `'${value.replaceAll("'", "''")}'`;
}

function field(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Row)[name] : undefined;
}
