import { type Finding, jsonFaultOffset, textPosition } from '@migrate/core';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { type AppsJson, appsJsonSchema, patternMeanings } from './apps-json-schema.ts';
import { checkApps } from './check-apps.ts';
import { convertV2, isNumericId, type V2Ids } from './convert-v2.ts';
import type { WeighedFault } from './json-schema-faults.ts';
import { jsonSchemaFaults } from './json-schema-faults.ts';
import { limitedFindings } from './limited-findings.ts';

/** A larger file is not a target state. */
export const appsSizeLimitBytes = 4 * 1024 * 1024;
const depthLimit = 64;

export interface ParsedApps {
  /** Present if and only if no finding is an error. */
  readonly apps?: AppsJson;
  readonly findings: readonly Finding[];
}

/**
 * Parses and checks apps.json as the supervisor will read it on its first start (balena-supervisor
 * src/device-state/preload.ts). The form of older tools, with apps under their numbers, is converted where `ids` tells
 * the uuids; the supervisor itself would need the internet for that. All faults are found at once.
 */
export function parseAppsJson(text: string, fileName: string, ids: V2Ids = {}): ParsedApps {
  const { value, fault } = readJson(text, fileName);
  return fault === undefined ? checkAppsJson(value, fileName, ids) : { findings: [fault] };
}

/** As parseAppsJson, for what has been read from JSON already. */
export function checkAppsJson(value: unknown, fileName: string, ids: V2Ids = {}): ParsedApps {
  if (Array.isArray(value)) {
    const message = 'this is the form of before 2018, with one container and without releases';
    return refused('old-form', message, 'Download the target state of the device or release again', fileName);
  }
  const converted = isV2(value) ? convertV2(value, ids) : { value, faults: [] };
  const faults = converted.faults.length > 0 ? converted.faults : faultsOfApps(converted.value);
  const isSound = !faults.some(({ severity }) => severity === 'error');
  // What has no error has passed the schema.
  return { findings: findingsOf(faults, fileName), ...(isSound ? { apps: converted.value as AppsJson } : {}) };
}

/** All faults of apps.json in today's form. */
export function faultsOfApps(value: unknown): readonly WeighedFault[] {
  const validate = compileSchema();
  if (validate(value)) return checkApps(value);
  const faults = jsonSchemaFaults(validate.errors ?? [], patternMeanings);
  return faults.map((fault) => ({ ...fault, severity: 'error' }));
}

/** Plain data out of untrusted JSON, or the one fault that keeps it from being read. */
export function readJson(text: string, fileName: string): { value?: unknown; fault?: Finding } {
  const fault = (code: string, message: string, hint: string, where = fileName): { fault: Finding } => ({
    fault: { severity: 'error', code: `apps-${code}`, where, message, hint },
  });
  if (Buffer.byteLength(text) > appsSizeLimitBytes) {
    const message = `the file has more than ${appsSizeLimitBytes / 1024 / 1024} MiB`;
    return fault('too-large', message, 'Check that this is a target state and not another file');
  }
  const broken = text.search(/[\ufffd\0]|^\ufeff/);
  if (broken !== -1) {
    const where = `${fileName}:${textPosition(text, broken)}`;
    return fault('encoding', 'the file is not plain UTF-8 text', 'Save it as UTF-8 without byte order mark', where);
  }
  if (text.trim() === '') return fault('empty', 'the file is empty', 'Give a target state, or {} for none');
  try {
    const value: unknown = JSON.parse(text);
    return isDeep(value)
      ? fault('too-deep', 'the file is nested too deeply', 'Check that this is a target state')
      : { value };
  } catch {
    const where = `${fileName}:${textPosition(text, jsonFaultOffset(text))}`;
    return fault('syntax', 'this is not valid JSON', 'Look for a missing quote, comma or bracket before it', where);
  }
}

/** Says so without recursion of its own. */
function isDeep(value: unknown): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > depthLimit) return true;
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
  }
  return false;
}

/** The supervisor's own test: one key that is a number is enough. */
function isV2(value: unknown): value is Record<string, unknown> {
  if (typeof value !== 'object' || value === null || !('apps' in value)) return false;
  const { apps } = value;
  return typeof apps === 'object' && apps !== null && !Array.isArray(apps) && Object.keys(apps).some(isNumericId);
}

let compiled: ValidateFunction<AppsJson> | undefined;

/** Compiled at first use. */
function compileSchema(): ValidateFunction<AppsJson> {
  compiled ??= new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true, verbose: true }).compile<AppsJson>(
    appsJsonSchema,
  );
  return compiled;
}

function findingsOf(faults: readonly WeighedFault[], fileName: string): readonly Finding[] {
  const findings = faults.map(({ severity, code, path, message, hint }) => ({
    severity,
    code: `apps-${code}`,
    where: path === '' ? fileName : `${fileName} ${path}`,
    message,
    hint,
  }));
  return limitedFindings(findings, 'apps-more', fileName);
}

function refused(code: string, message: string, hint: string, where: string): ParsedApps {
  return { findings: [{ severity: 'error', code: `apps-${code}`, where, message, hint }] };
}
