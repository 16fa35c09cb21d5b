// The settings of a kit: what the operator wants, and what follows from the files that lie in it.
import { createHash } from 'node:crypto';
import {
  annotatedConfig,
  checkSettings,
  configSchema,
  type ExpectedHash,
  error,
  type Finding,
  parseConfig,
  readYamlTree,
  type SettingSchema,
} from '@migrate/core';
import { stringify } from 'yaml';
import { configJsonName, configName, connectionsName, launcherName, sumsName } from './kit-layout.ts';

export interface SettingsInput {
  /** Part of a balena-migrate.yml. */
  readonly file?: { readonly path: string; readonly text: string };
  /** KEY=VALUE, as `migrate.all_wifis=true`; the value is YAML. They override the file. */
  readonly assignments: readonly string[];
}

type Section = Record<string, unknown>;

/** Whoever runs the launcher wants the machine migrated; it is told before. */
const defaults: Section = { migrate: { reboot: 5 } };

/** Settings that say where files lie: those of a kit are known. */
const settledByKit = [
  ['balena', 'image', 'dd'],
  ['balena', 'image', 'fs'],
  ['balena', 'image', 'download'],
  ['balena', 'config'],
  ['migrate', 'nwmgr_files'],
  ['migrate', 'work_dir'],
  ['migrate', 'mode'],
];

/** The settings that the operator gives over the defaults, and all that is wrong with them. */
export function readSettings({ file, assignments }: SettingsInput): {
  readonly settings: Section;
  readonly findings: readonly Finding[];
} {
  const findings: Finding[] = [];
  const assigned: Section = {};
  for (const assignment of assignments) findings.push(...assign(assigned, assignment));
  const fromFile = file === undefined ? undefined : readYamlTree(file.text).value;
  const texts = [
    ...(file === undefined ? [] : [{ text: file.text, name: file.path }]),
    ...(Object.keys(assigned).length === 0 ? [] : [{ text: stringify(assigned), name: '--set' }]),
  ];
  for (const { text, name } of texts) {
    const { config, findings: found } = parseConfig(text, name);
    findings.push(...found, ...(config === undefined ? [] : checkSettings(config)));
  }
  const settings = merge(merge(defaults, isSection(fromFile) ? fromFile : {}), assigned);
  for (const path of settledByKit) {
    if (valueAt(settings, path) === undefined) continue;
    const hint = 'Remove it; prepare has options for image, config.json and connections';
    findings.push(error('kit-setting', path.join('.'), 'prepare itself says what this setting is in a kit', hint));
  }
  return { settings, findings };
}

export interface KitFiles {
  readonly imageName: string;
  readonly imageHash: ExpectedHash;
  readonly configJson: Uint8Array;
  /** Names in system-connections. */
  readonly connections: readonly string[];
}

/** balena-migrate.yml of a kit. `settings` must have no findings that refuse. */
export function kitConfig(settings: Section, { imageName, imageHash, configJson, connections }: KitFiles): string {
  const own = {
    ...(connections.length === 0
      ? {}
      : { migrate: { nwmgr_files: connections.map((name) => `${connectionsName}/${name}`) } }),
    balena: {
      image: { dd: { path: imageName, hash: { [imageHash.algorithm]: imageHash.digest } } },
      config: { path: configJsonName, hash: { sha256: createHash('sha256').update(configJson).digest('hex') } },
    },
  };
  const text = `${introduction}${annotatedConfig({ values: merge(settings, own), others: 'omitted' })}`;
  const { config, findings } = parseConfig(text, configName);
  if (config === undefined) throw new Error(`made a configuration that is not valid: ${findings[0]?.message}`);
  return text;
}

const introduction = `# Made by "migrate prepare" for ./${launcherName}. After a change, bring the line of this file in ${sumsName} up to date
# (sha256sum ${configName}), or the launcher refuses. "migrate init" writes a sample with all settings.

`;

function assign(target: Section, assignment: string): readonly Finding[] {
  const [, key = '', text = ''] = /^([\w.]+)=(.*)$/s.exec(assignment) ?? [];
  const wrong = (message: string, hint: string): readonly Finding[] => [error('kit-set', '--set', message, hint)];
  if (key === '') return wrong('it is not KEY=VALUE', 'Write for instance --set migrate.all_wifis=true');
  const parts = key.split('.');
  const { value, faults } = readYamlTree(text);
  if (value === undefined || faults.length > 0) return wrong(`the value of ${key} is no YAML`, 'Put text in quotes');
  let schema: SettingSchema | undefined = configSchema;
  let section = target;
  for (const [index, part] of parts.entries()) {
    const children: SettingSchema['properties'] = schema?.properties ?? {};
    schema = Object.hasOwn(children, part) ? children[part] : undefined;
    if (schema === undefined) return wrong(`there is no setting ${key}`, 'See "migrate init" for all settings');
    if (index === parts.length - 1) section[part] = value;
    else {
      const below: Section = isSection(section[part]) ? section[part] : {};
      section[part] = below;
      section = below;
    }
  }
  return [];
}

/** Sections are merged, all else is replaced. Keys come from checked YAML, which has no `__proto__`. */
function merge(under: Section, over: Section): Section {
  const merged: Section = { ...under };
  for (const [key, value] of Object.entries(over)) {
    const below = merged[key];
    if (value === null || value === undefined) continue;
    merged[key] = isSection(below) && isSection(value) ? merge(below, value) : value;
  }
  return merged;
}

function valueAt(section: Section, [key = '', ...rest]: readonly string[]): unknown {
  const value = section[key];
  if (rest.length === 0) return value;
  return isSection(value) ? valueAt(value, rest) : undefined;
}

function isSection(value: unknown): value is Section {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
