// What is to be backed up, as the configuration asks for it, and whether the new system could take it. Pure.
import { resolve } from 'node:path';
import type { Config } from '../config/config.ts';
import { quoted } from '../config/quoted.ts';
import { error } from '../plan/check-machine.ts';
import type { Finding } from '../plan/finding.ts';
import { compileFilter } from './path-filter.ts';

/** Where the supervisor looks for it, in resin-data (balena-supervisor, src/lib/constants.ts: migrationBackupFile). */
export const backupPath = '/backup.tgz';

export interface RequestedItem {
  /** Absolute path of a file or directory. */
  readonly source: string;
  /** Directories below the volume, from the outside in. */
  readonly target: readonly string[];
  readonly filter?: string;
}

export interface RequestedVolume {
  readonly name: string;
  readonly items: readonly RequestedItem[];
}

/** The supervisor's DOCKER_NAME_REGEX (src/types/basic.ts). */
const volumeName = /^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/;
/** The engine's directory of a volume is called after application and volume, in at most 255 bytes. */
const longestVolumeName = 200;
const longestFileName = 255;

const identitySources = {
  sshHostKeys: { source: '/etc/ssh', filter: '^/etc/ssh/ssh_host_[^/]*_key(\\.pub)?$', target: 'ssh' },
  machineId: { source: '/etc/machine-id' },
} as const;

/** The volumes that are asked for, with the items that keep the machine's identity. */
export function requestedVolumes({ migrate }: Config, workDirectory: string): readonly RequestedVolume[] {
  const volumes = migrate.backup.map(({ volume, items }) => ({ name: volume, items: [...items] }));
  for (const [key, item] of Object.entries(identitySources)) {
    const name = migrate.identity[key as keyof typeof identitySources];
    if (name === undefined) continue;
    const known = volumes.find((volume) => volume.name === name);
    if (known === undefined) volumes.push({ name, items: [item] });
    else known.items.push(item);
  }
  return volumes.map(({ name, items }) => ({
    name,
    items: items.map(({ source, target, filter }) => ({
      source: resolve(workDirectory, source),
      target: (target ?? '')
        .split('/')
        .filter((part, index, parts) => part !== '' || (index === 0 && parts.length > 1)),
      ...(filter === undefined ? {} : { filter }),
    })),
  }));
}

/**
 * What the supervisor would refuse, for it then tries again for ever and starts no application: names that no volume can have,
 * and what does not lie in a directory of such a name.
 */
export function checkRequest(volumes: readonly RequestedVolume[]): readonly Finding[] {
  const findings: Finding[] = [];
  const names = volumes.map(({ name }) => name);
  for (const [index, { name, items }] of volumes.entries()) {
    const where = `migrate.backup ${quoted(name)}`;
    if (!volumeName.test(name) || name.length > longestVolumeName) {
      findings.push(
        error(
          'backup-volume-name',
          where,
          'no volume of an application can have this name',
          `Use the name that the application declares: letters, digits, "_", "." and "-", at most ${longestVolumeName}, beginning with a letter or digit`,
        ),
      );
    }
    if (names.indexOf(name) !== index)
      findings.push(error('backup-volume-twice', where, 'the volume is named twice', 'Put all its items under one'));
    for (const { target, filter } of items) {
      if (target.some((part) => ['', '.', '..'].includes(part) || Buffer.byteLength(part) > longestFileName)) {
        findings.push(
          error(
            'backup-target',
            where,
            `the target ${quoted(target.join('/') || '/')} does not lie in the volume`,
            'Give a path without "." and "..", relative to the volume',
          ),
        );
      }
      const compiled = filter === undefined ? undefined : compileFilter(filter);
      if (compiled !== undefined && 'fault' in compiled) {
        findings.push(
          error(
            'backup-filter',
            where,
            `the filter ${quoted(filter ?? '')} is no regular expression: ${compiled.fault}`,
            'Use the syntax of RE2 (https://github.com/google/re2/wiki/Syntax), which has no look-around and no back-references',
          ),
        );
      }
    }
  }
  return findings;
}
