import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseConfig } from '../config/parse-config.ts';
import { checkRequest, requestedVolumes } from './backup-request.ts';

function requested(yaml: string) {
  const { config, findings } = parseConfig(yaml, 'c.yml');
  if (config === undefined) throw new Error(JSON.stringify(findings));
  return requestedVolumes(config, '/migration');
}

const codesOf = (yaml: string): string[] => checkRequest(requested(yaml)).map(({ code }) => code);
const volume = (name: string): string =>
  codesOf(`migrate:\n  backup: [{volume: "${name}", items: [{source: /a}]}]\n`).join();
const target = (path: string): string =>
  codesOf(`migrate:\n  backup: [{volume: v, items: [{source: /a, target: "${path}"}]}]\n`).join();

test('relative sources start in the work directory; identity adds to volumes or makes them', () => {
  const volumes = requested(`
migrate:
  backup:
    - volume: data
      items: [{source: own/files, target: a//b/, filter: x}, {source: /srv}]
  identity: {ssh_host_keys: identity, machine_id: data}
`);
  expect(volumes).toEqual([
    {
      name: 'data',
      items: [
        { source: '/migration/own/files', target: ['a', 'b'], filter: 'x' },
        { source: '/srv', target: [] },
        { source: '/etc/machine-id', target: [] },
      ],
    },
    {
      name: 'identity',
      items: [{ source: '/etc/ssh', target: ['ssh'], filter: '^/etc/ssh/ssh_host_[^/]*_key(\\.pub)?$' }],
    },
  ]);
  expect(checkRequest(volumes)).toEqual([]);
  expect(requested('migrate: {}\n')).toEqual([]);
});

test('of the sample in the original README, volumes with blanks in their names are refused', () => {
  const sample = readFileSync(new URL('../../../../fixtures/configs/seed-backup.yml', import.meta.url), 'utf8');
  expect(checkRequest(requested(sample)).map(({ code, where }) => `${code} ${where}`)).toEqual([
    'backup-volume-name migrate.backup "test volume 1"',
    'backup-volume-name migrate.backup "test volume 2"',
  ]);
});

describe('names of volumes, by the supervisor’s own rule', () => {
  test.each(['data', 'a', 'My_Volume-1.2', '0', 'x'.repeat(200)])('%s is one', (name) => expect(volume(name)).toBe(''));

  test.each(['test volume 1', '.hidden', '-a', '_a', '..', 'a/b', 'ä', 'a:b', 'x'.repeat(201)])('%s is none', (name) =>
    expect(volume(name)).toBe('backup-volume-name'),
  );

  test('must differ', () => {
    expect(
      codesOf('migrate: {backup: [{volume: a, items: [{source: /b}]}, {volume: a, items: [{source: /c}]}]}'),
    ).toEqual(['backup-volume-twice']);
  });
});

describe('targets', () => {
  test.each(['a', 'a/b', 'target dir 1.1', 'a/', '...'])('%s lies in the volume', (path) =>
    expect(target(path)).toBe(''),
  );

  test.each(['/a', '/', '..', 'a/../..', './a', 'x'.repeat(256)])('%s does not', (path) =>
    expect(target(path)).toBe('backup-target'),
  );
});

test('a filter must be a pattern of RE2', () => {
  const found = checkRequest(requested('migrate: {backup: [{volume: a, items: [{source: /b, filter: "(?!x)"}]}]}'));
  expect(found).toMatchObject([{ code: 'backup-filter', severity: 'error', where: 'migrate.backup "a"' }]);
});
