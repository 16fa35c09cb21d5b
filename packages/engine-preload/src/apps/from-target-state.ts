// Makes apps.json out of a downloaded target state: what the device would run, without what belongs to the system.
import { type Finding, joinPath, quoted, refuses } from '@migrate/core';
import type { AppsJson } from './apps-json-schema.ts';
import type { V2Ids } from './convert-v2.ts';
import { checkAppsJson, type ParsedApps, readJson } from './parse-apps-json.ts';

type Fields = Readonly<Record<string, unknown>>;

export interface TargetStateOptions extends V2Ids {
  /** Uuid of the device, where the file holds several. */
  readonly deviceUuid?: string;
  /** Keep the device on this release whatever its fleet runs. */
  readonly pinDevice?: boolean;
}

/** The apps that the supervisor is on balenaCloud (balena-supervisor src/lib/supervisor-metadata.ts). */
const supervisorApps: ReadonlySet<string> = new Set([
  '52e35121417640b1b28a680504e4039b',
  '900de4f3cbac4b9bbd232885a35e407b',
  '2e66a95795c149959c69472a8c2f92b8',
  '531b357e155c480cbec0fdd33041a1f5',
  '6822565f766e413e96d9bebe2227cdcc',
]);

/**
 * Reads the forms in which a target state can be got: `{"local": …}` (dashboard, API v2, supervisor), `{"<uuid>": …}` (API v3),
 * each of them alone or under `state`, or just `{"config", "apps"}`. Apps of the system itself, and apps without a release,
 * are left out with a warning each.
 */
export function appsFromTargetState(text: string, fileName: string, options: TargetStateOptions = {}): ParsedApps {
  const { value, fault } = readJson(text, fileName);
  if (fault !== undefined) return { findings: [fault] };
  const { device, finding } = deviceOf(value, fileName, options.deviceUuid);
  if (device === undefined) return { findings: finding === undefined ? [] : [finding] };
  const { apps, left } = ownApps(device.apps, fileName);
  const appsJson = {
    config: device.config ?? {},
    apps,
    ...(options.pinDevice === true ? { pinDevice: true } : {}),
  };
  const checked = checkAppsJson(appsJson, fileName, options);
  const findings = [...left, ...checked.findings];
  return refuses(findings) ? { findings } : { findings, ...(checked.apps === undefined ? {} : { apps: checked.apps }) };
}

/** apps.json as text, always the same for the same contents. */
export function printAppsJson(apps: AppsJson): string {
  return `${JSON.stringify(apps, null, 2)}\n`;
}

function deviceOf(
  value: unknown,
  fileName: string,
  deviceUuid: string | undefined,
): { device?: Fields; finding?: Finding } {
  const refused = (message: string, hint: string): { finding: Finding } => ({
    finding: { severity: 'error', code: 'apps-target-state', where: fileName, message, hint },
  });
  const file = fieldsOf(fieldsOf(value)?.state) ?? fieldsOf(value);
  const otherHint = 'Give the target state of the device, with "local", or with "config" and "apps"';
  if (file === undefined) return refused('this is not a target state', otherHint);
  const local = fieldsOf(file.local);
  if (local !== undefined) return { device: local };
  if ('apps' in file) return { device: file };
  const devices = Object.entries(file).flatMap(([uuid, device]) => {
    const fields = fieldsOf(device);
    return fields !== undefined && 'apps' in fields ? [{ uuid, fields }] : [];
  });
  const [only, ...others] = deviceUuid === undefined ? devices : devices.filter(({ uuid }) => uuid === deviceUuid);
  if (only === undefined) {
    return devices.length === 0
      ? refused('this is not a target state: there are no apps in it', otherHint)
      : refused(
          'the device asked for is not in it',
          `There is ${devices
            .slice(0, 5)
            .map(({ uuid }) => quoted(uuid))
            .join(', ')}`,
        );
  }
  if (others.length > 0)
    return refused(`it is of ${others.length + 1} devices`, 'Say the uuid of the one that is meant');
  return { device: only.fields };
}

function ownApps(value: unknown, fileName: string): { apps: unknown; left: readonly Finding[] } {
  const apps = fieldsOf(value);
  if (apps === undefined) return { apps: value, left: [] };
  const left: Finding[] = [];
  const kept = Object.entries(apps).filter(([uuid, app]) => {
    const reason = reasonToLeaveOut(uuid, fieldsOf(app));
    if (reason === undefined) return true;
    const where = `${fileName} ${joinPath('apps', uuid)}`;
    left.push({
      severity: 'warning',
      code: 'apps-left-out',
      where,
      message: `left out: ${reason}`,
      hint: 'Nothing to do',
    });
    return false;
  });
  return { apps: Object.fromEntries(kept), left };
}

function reasonToLeaveOut(uuid: string, app: Fields | undefined): string | undefined {
  if (supervisorApps.has(uuid)) return 'it is the supervisor, which the system brings along';
  if (app?.is_host === true) return 'it is the system itself';
  const isV3 = app !== undefined && !('commit' in app) && !('services' in app);
  if (!isV3) return undefined;
  const releases = fieldsOf(app.releases) ?? {};
  return 'id' in app && Object.keys(releases).length === 0 ? 'it has no release' : undefined;
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
}
