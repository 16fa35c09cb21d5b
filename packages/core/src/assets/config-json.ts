// Checks balenaOS's config.json for what a device needs to join its fleet. No value of it ever gets into a finding: it holds keys.

import { jsonFaultOffset } from '../config/json-fault.ts';
import { textPosition } from '../config/text-position.ts';
import type { Finding } from '../plan/finding.ts';

/** What a migration needs to know of a config.json; the file itself is taken along as it is. */
export interface ConfigJson {
  readonly deviceType: string;
  readonly applicationId: number;
  readonly apiEndpoint: string;
  readonly applicationName?: string;
  readonly uuid?: string;
  /** A key for registering new devices with the fleet (`apiKey`). */
  readonly hasProvisioningKey: boolean;
  /** The key of one registered device (`deviceApiKey`). */
  readonly hasDeviceKey: boolean;
}

const sizeLimitBytes = 256 * 1024;
const downloadHint = "Download config.json again from the fleet's dashboard";

/** `configJson` is present if and only if no finding is an error. Today's and older files pass; other keys are left alone. */
export function parseConfigJson(text: string, fileName: string): { configJson?: ConfigJson; findings: Finding[] } {
  const fault = (code: string, where: string, message: string, hint = downloadHint): Finding => ({
    severity: 'error',
    code: `config-json-${code}`,
    where,
    message,
    hint,
  });
  if (Buffer.byteLength(text) > sizeLimitBytes) {
    return { findings: [fault('too-large', fileName, `the file has more than ${sizeLimitBytes / 1024} KiB`)] };
  }
  if (text.trim() === '') return { findings: [fault('empty', fileName, 'the file is empty')] };
  // The new system reads the file as it is, and would stumble over both.
  if (text.startsWith('\ufeff')) {
    return {
      findings: [
        fault(
          'encoding',
          fileName,
          'the file begins with a byte order mark',
          'Save it as UTF-8 without byte order mark',
        ),
      ],
    };
  }
  const broken = text.indexOf('\ufffd');
  if (broken !== -1) {
    const where = `${fileName}:${textPosition(text, broken)}`;
    return { findings: [fault('encoding', where, 'the file is not UTF-8 text', 'Save it as UTF-8')] };
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    const where = `${fileName}:${textPosition(text, jsonFaultOffset(text))}`;
    return { findings: [fault('syntax', where, 'this is not valid JSON')] };
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    return { findings: [fault('type', fileName, 'the file must hold one JSON object, { … }')] };
  }
  const values = new Map<string, unknown>(Object.entries(parsed));
  const findings = faultsOf(values).map(({ code, key, message, hint }) =>
    fault(code, `${fileName} ${key}`, message, hint),
  );
  return findings.length > 0 ? { findings } : { configJson: configJsonOf(values), findings };
}

/** What the API registers a device under (open-balena-api, the hooks of the resource device). */
const deviceUuid = /^[a-f0-9]{32}([a-f0-9]{30})?$/;

interface KeyFault {
  readonly code: string;
  readonly key: string;
  readonly message: string;
  readonly hint?: string;
}

function faultsOf(values: ReadonlyMap<string, unknown>): readonly KeyFault[] {
  const faults: KeyFault[] = [];
  const check = (key: string, isRight: (value: unknown) => boolean, wanted: string): void => {
    const value = values.get(key);
    if (value === undefined || value === null) faults.push({ code: 'missing', key, message: `${key} is missing` });
    else if (!isRight(value)) faults.push({ code: 'value', key, message: `${key} must be ${wanted}` });
  };
  check('apiEndpoint', isHttpsAddress, 'an https address');
  check(
    'deviceType',
    (value) => typeof value === 'string' && /^[a-z0-9][a-z0-9-]*$/.test(value),
    'a device type (slug)',
  );
  check('applicationId', (value) => Number.isSafeInteger(numberOf(value)), 'the number of the fleet');
  for (const key of ['applicationName', 'uuid', 'apiKey', 'deviceApiKey']) {
    const value = values.get(key);
    if (value === undefined || value === null) continue;
    if (typeof value !== 'string' || value.trim() === '') {
      faults.push({ code: 'value', key, message: `${key} must be text that is not empty` });
    } else if (key === 'uuid' && !deviceUuid.test(value)) {
      faults.push({ code: 'value', key, message: 'uuid must be 32 or 62 hexadecimal digits in lower case' });
    }
  }
  const hasDevice = isGiven(values.get('uuid')) && isGiven(values.get('deviceApiKey'));
  if (!isGiven(values.get('apiKey')) && !hasDevice) {
    faults.push({
      code: 'key-missing',
      key: 'apiKey',
      message: 'it has neither an apiKey nor both uuid and deviceApiKey, so the device could not join its fleet',
    });
  }
  return faults;
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function isHttpsAddress(value: unknown): boolean {
  return typeof value === 'string' && /^https:\/\/[^\s/]/.test(value) && URL.canParse(value);
}

/** Older files have the number as text. */
function numberOf(value: unknown): number {
  if (typeof value === 'number') return value > 0 ? value : Number.NaN;
  return typeof value === 'string' && /^[1-9]\d*$/.test(value) ? Number(value) : Number.NaN;
}

/** `values` must have no faults. */
function configJsonOf(values: ReadonlyMap<string, unknown>): ConfigJson {
  const [applicationName, uuid] = [values.get('applicationName'), values.get('uuid')];
  return {
    deviceType: String(values.get('deviceType')),
    applicationId: numberOf(values.get('applicationId')),
    apiEndpoint: String(values.get('apiEndpoint')),
    ...(typeof applicationName === 'string' ? { applicationName } : {}),
    ...(typeof uuid === 'string' ? { uuid } : {}),
    hasProvisioningKey: isGiven(values.get('apiKey')),
    hasDeviceKey: isGiven(values.get('deviceApiKey')),
  };
}
