import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { checkSettings } from '../plan/check-settings.ts';
import { configSchema, type SettingSchema } from './config-schema.ts';
import { parseConfig } from './parse-config.ts';

const fixtures = fileURLToPath(new URL('../../../../fixtures/configs', import.meta.url));
const read = (name: string): string => readFileSync(`${fixtures}/${name}`, 'utf8');
/** The findings as lines, to compare with the eye. */
const linesOf = (text: string, fileName = 'c.yml'): string[] =>
  parseConfig(text, fileName).findings.map(
    ({ severity, code, where, message }) => `${severity} ${code} ${where}: ${message}`,
  );
const configOf = (text: string) => {
  const { config, findings } = parseConfig(text, 'c.yml');
  expect(findings.filter((finding) => finding.severity === 'error')).toEqual([]);
  if (config === undefined) throw new Error('no config');
  return config;
};

describe('what the original README shows', () => {
  test('its long sample is accepted as it stands', () => {
    const { config, findings } = parseConfig(read('seed-readme.yml'), 'balena-migrate.yml');
    expect(findings).toEqual([
      {
        severity: 'warning',
        code: 'config-misplaced-setting',
        where: 'balena-migrate.yml:98:7 balena.image.dd.root_a',
        message: 'ignored here: root_a, root_b, state and data',
        hint: 'Remove them: dd writes the whole image; they only count under balena.image.fs',
      },
    ]);
    expect(config).toEqual({
      migrate: {
        mode: 'immediate',
        workDir: '.',
        allWifis: true,
        wifis: [],
        wired: true,
        proxy: true,
        rebootSeconds: 5,
        log: { level: 'info', drive: '/dev/sda1', console: true },
        kernel: { path: 'balena.zImage' },
        initrd: { path: 'balena.initramfs.cpio.gz' },
        deviceTree: [],
        backup: [],
        identity: { hostname: true },
        networkFiles: [],
        requireNetworkConfig: true,
        gzipInternal: true,
        tarInternal: true,
        kernelOptions: [],
        staging: 'auto',
        delaySeconds: 0,
        watchdogs: [],
        failMode: 'reboot',
      },
      balena: {
        image: {
          kind: 'dd',
          file: { path: 'balena-cloud-beagleboard-xm-2.38.0+rev1-v9.15.7.img.gz' },
          writesUnused: false,
        },
        config: { path: 'config.json' },
        appName: 'bbtest',
        api: { host: 'api.balena-cloud.com', port: 443, check: true, checkKey: false, reportProgress: false },
        checkVpn: true,
        checkTimeoutSeconds: 20,
      },
      debug: { noFlash: false },
    });
  });

  test('partitions beside dd are ignored too, but not where dd is missing', () => {
    const partition = 'root_a: { blocks: 1, archive: a.tgz }';
    expect(linesOf(`balena:\n  image:\n    dd: { path: a.gz }\n    ${partition}\n`)).toEqual([
      'warning config-misplaced-setting c.yml:4:5 balena.image.root_a: ignored here: root_a',
    ]);
    const { config, findings } = parseConfig(`balena:\n  image:\n    ${partition}\n`, 'c.yml');
    expect(config).toBeUndefined();
    expect(findings).toMatchObject([
      { where: 'c.yml:3:5 balena.image.root_a', hint: 'It belongs under balena.image.fs' },
    ]);
  });

  test('what balena-extract prints can be pasted under balena.image', () => {
    const { config, findings } = parseConfig(read('extract-snippet.yml'), 'c.yml');
    expect(findings.map((finding) => [finding.severity, finding.code])).toEqual([['warning', 'config-weak-hash']]);
    expect(config?.balena.image).toMatchObject({
      kind: 'fs',
      deviceSlug: 'beaglebone-green',
      check: 'none',
      maxData: true,
      mkfsDirect: false,
      extendedBlocks: 2162688,
      partitions: {
        boot: {
          blocks: 81920,
          archive: { path: 'resin-boot.tgz', hash: { algorithm: 'md5', digest: '9111b8be2903683638c850c9fff047cc' } },
        },
        data: { blocks: 2105344 },
      },
    });
  });

  test('its backup sample', () => {
    const { backup } = configOf(read('seed-backup.yml')).migrate;
    expect(backup.map((volume) => volume.volume)).toEqual(['test volume 1', 'test volume 2', 'test_volume_3']);
    expect(backup[1]?.items).toEqual([
      { source: '/home/user/projects/migrate', target: 'target dir 2.2', filter: 'balena-.*' },
    ]);
  });
});

describe('values', () => {
  test('sections may be missing or empty, and ~ is the default everywhere', () => {
    const defaults = configOf('migrate: {}\n');
    expect(configOf('migrate:\nbalena: ~\ndebug: null\n')).toEqual(defaults);
    expect(configOf(stringify({ migrate: nulls('migrate'), balena: nulls('balena'), debug: nulls('debug') }))).toEqual(
      defaults,
    );
    expect(configOf(stringify(formOfDefaults(configSchema)))).toEqual({
      ...defaults,
      agent: { sources: [], requiresPlan: false, intervalSeconds: 300 },
      migrate: { ...defaults.migrate, uboot: { strategy: { kind: 'uname', uname: '4.1.4.53-balenaOS-2.38.0+rev1' } } },
    });
    expect(defaults.migrate.mode).toBe('pretend');
    expect(defaults.migrate.requireNetworkConfig).toBe(true);
    expect(defaults.debug.noFlash).toBe(false);
  });

  test.each([
    ['none', 'none'],
    ['None', 'none'],
    ['~', 'none'],
    ['ro', 'ro'],
    ['Read', 'ro'],
    ['rw', 'rw'],
    ['ReadWrite', 'rw'],
  ])('check: %s', (written, meant) => {
    const text = read('extract-snippet.yml').replace('check: ~', `check: ${written}`);
    expect(configOf(text).balena.image).toMatchObject({ check: meant });
  });

  test('an archive may be a path alone', () => {
    const text = read('extract-snippet.yml').replace(
      /archive:\n +path: resin-boot.tgz\n +hash:\n.*\n/,
      'archive: b.tgz\n',
    );
    expect(configOf(text).balena.image).toMatchObject({ partitions: { boot: { archive: { path: 'b.tgz' } } } });
  });

  test('sha256 in capitals is the same hash, and brings no warning', () => {
    const digest = 'AB'.repeat(32);
    const text = `balena: { config: { path: c, hash: { sha256: ${digest} } } }`;
    expect(configOf(text).balena.config?.hash).toEqual({ algorithm: 'sha256', digest: digest.toLowerCase() });
    expect(linesOf(text)).toEqual([]);
  });

  test('kernel options are split on blanks, also those of a block', () => {
    expect(configOf('migrate:\n  kernel_opts: >\n    panic=20\n    quiet  x=1\n').migrate.kernelOptions).toEqual([
      'panic=20',
      'quiet',
      'x=1',
    ]);
  });

  test('U-Boot, watchdogs and fail mode', () => {
    const { migrate } = configOf(
      'migrate: { uboot: { strategy: manual, mmc_index: 0 }, watchdogs: [{ path: /dev/w, close: false, interval: ~ }], fail_mode: RescueShell }',
    );
    expect(migrate).toMatchObject({
      uboot: { strategy: { kind: 'manual' }, mmcIndex: 0 },
      watchdogs: [{ path: '/dev/w', close: false }],
      failMode: 'rescue-shell',
    });
  });

  test('JSON is YAML, and so are CRLF lines and a byte order mark', () => {
    expect(configOf('{"migrate": {"mode": "immediate"}}').migrate.mode).toBe('immediate');
    expect(configOf('\ufeffmigrate:\r\n  mode: immediate\r\n').migrate.mode).toBe('immediate');
  });

  test('a key under api is accepted for old files, and never shown', () => {
    const text = 'balena:\n  api:\n    key: canary-key\n';
    expect(linesOf(text)).toEqual(['warning config-unused-setting c.yml:3:5 balena.api.key: this key is never used']);
    expect(
      JSON.stringify([parseConfig(text, 'c'), parseConfig(text.replace('canary-key', '12345678'), 'c')]),
    ).not.toMatch(/canary|1234/);
  });
});

test('an image can be one from the API, and the go-ahead come from several places', () => {
  const text = 'balena: { image: { download: { version: ^5.1 } } }\nagent: { watch: /etc/x, device_variables: true }\n';
  const { balena, agent } = configOf(text);
  expect(balena.image).toEqual({ kind: 'download', version: '^5.1', writesUnused: false });
  expect(agent?.sources).toEqual([{ kind: 'watch', path: '/etc/x' }, { kind: 'device-variables' }]);
  expect(linesOf('balena: { image: { dd: { path: a }, download: { version: latest } } }\n')).toEqual([
    'error config-conflict c.yml:1:11 balena.image: only one of dd and download can be given',
  ]);
  expect(linesOf('balena: { image: { download: { version: ">5" } } }\nagent: { url: http://x }\n')).toEqual([
    'error config-value c.yml:1:32 balena.image.download.version: must be a version like 5.1.20, ^5.1, ~5.1.20 or latest, not ">5"',
    'error config-value c.yml:2:10 agent.url: must be an https address without a user name, not "http://x"',
  ]);
});

test('the schema says of each setting that is refused or ignored what check-settings does', () => {
  const differences: string[] = [];
  eachSetting(configSchema, [], (schema, path) => {
    const [example] = schema.examples ?? [];
    const isComplex = schema['x-support'] === undefined || path.length !== 2 || example === undefined;
    if (isComplex) return;
    const text = stringify({
      [path[0] ?? '']: { [path[1] ?? '']: example === true && schema.default === true ? false : example },
    });
    const codes = checkSettings(configOf(text)).map((finding) => finding.code);
    const isRefused = codes.includes('setting-unsupported');
    if (isRefused !== (schema['x-support'] === 'refused')) differences.push(path.join('.'));
  });
  expect(differences).toEqual([]);
});

function nulls(section: 'migrate' | 'balena' | 'debug'): Record<string, null> {
  return Object.fromEntries(Object.keys(configSchema.properties[section].properties).map((key) => [key, null]));
}

/** The file that writes down every default. */
function formOfDefaults(schema: SettingSchema): unknown {
  if (schema.default !== undefined) return schema.default;
  if (schema.properties === undefined || schema.required !== undefined || 'minProperties' in schema) return null;
  return Object.fromEntries(Object.entries(schema.properties).map(([key, child]) => [key, formOfDefaults(child)]));
}

function eachSetting(
  schema: SettingSchema,
  path: readonly string[],
  visit: (schema: SettingSchema, path: readonly string[]) => void,
): void {
  visit(schema, path);
  for (const [key, child] of Object.entries(schema.properties ?? {})) eachSetting(child, [...path, key], visit);
}
