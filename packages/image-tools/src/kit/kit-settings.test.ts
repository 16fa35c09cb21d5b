import { createHash } from 'node:crypto';
import { parseConfig } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { kitConfig, readSettings } from './kit-settings.ts';

const files = {
  imageName: 'balena.img.zst',
  imageHash: { algorithm: 'sha256', digest: 'ab'.repeat(32) },
  configJson: Buffer.from('{}'),
  connections: ['office'],
} as const;

const codes = (assignments: readonly string[], text?: string): readonly string[] =>
  readSettings({ assignments, ...(text === undefined ? {} : { file: { path: 'more.yml', text } }) }).findings.map(
    ({ code }) => code,
  );

describe('kitConfig', () => {
  it('names the files of the kit with their hashes, and the settings over the file over the defaults', () => {
    const { settings, findings } = readSettings({
      file: { path: 'more.yml', text: 'migrate: { all_wifis: true, delay: 3, log: { level: debug } }\n' },
      assignments: ['migrate.delay=4', 'migrate.log.level=warn', 'migrate.kernel_opts="a b"'],
    });
    expect(findings).toEqual([]);
    const { config, findings: wrong } = parseConfig(kitConfig(settings, files), 'balena-migrate.yml');
    expect(wrong).toEqual([]);
    expect(config?.migrate).toMatchObject({
      rebootSeconds: 5,
      allWifis: true,
      delaySeconds: 4,
      log: { level: 'warn' },
      networkFiles: ['system-connections/office'],
    });
    expect(config?.balena).toMatchObject({
      image: { kind: 'dd', file: { path: 'balena.img.zst', hash: files.imageHash } },
      config: {
        path: 'config.json',
        hash: { algorithm: 'sha256', digest: createHash('sha256').update('{}').digest('hex') },
      },
    });
  });
});

describe('readSettings', () => {
  it.each([
    ['what is no assignment', ['migrate.delay'], ['kit-set']],
    ['a setting that does not exist', ['migrate.colour=blue'], ['kit-set']],
    ['keys that every object has', ['__proto__.polluted=1', 'migrate.constructor=1'], ['kit-set', 'kit-set']],
    ['a value of the wrong kind', ['migrate.delay=soon'], ['config-type']],
    ['a value that is no YAML', ['migrate.wifis=[a'], ['kit-set']],
    ['what this version cannot do', ['migrate.mode=extract'], ['setting-unsupported', 'kit-setting']],
    ['a setting that the kit itself has', ['balena.config.path=other.json'], ['kit-setting']],
  ])('refuses %s', (_, assignments, expected) => {
    expect(codes(assignments)).toEqual(expected);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  it('says where a settings file is wrong', () => {
    const { findings } = readSettings({ file: { path: 'more.yml', text: 'migrate:\n  dely: 3\n' }, assignments: [] });
    expect(findings).toMatchObject([{ code: 'config-unknown-setting', where: expect.stringContaining('more.yml:2') }]);
  });
});
