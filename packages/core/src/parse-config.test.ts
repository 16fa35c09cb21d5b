import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { checkSettings } from './check-settings.ts';
import { configSchema, type SettingSchema } from './config-schema.ts';
import { parseConfig } from './parse-config.ts';

const fixtures = fileURLToPath(new URL('../../../fixtures/configs', import.meta.url));
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
        rebootSeconds: 5,
        log: { level: 'info', drive: '/dev/sda1', console: true },
        kernel: { path: 'balena.zImage' },
        initrd: { path: 'balena.initramfs.cpio.gz' },
        deviceTree: [],
        backup: [],
        networkFiles: [],
        requireNetworkConfig: true,
        gzipInternal: true,
        tarInternal: true,
        kernelOptions: [],
        delaySeconds: 0,
        watchdogs: [],
        failMode: 'reboot',
      },
      balena: {
        image: { kind: 'dd', file: { path: 'balena-cloud-beagleboard-xm-2.38.0+rev1-v9.15.7.img.gz' } },
        config: { path: 'config.json' },
        appName: 'bbtest',
        api: { host: 'api.balena-cloud.com', port: 443, check: true },
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

describe('faults', () => {
  const bad = readdirSync(`${fixtures}/bad`).filter((name) => name.endsWith('.yml'));

  test.each(bad)('%s', async (name) => {
    const { config, findings } = parseConfig(read(`bad/${name}`), name);
    expect(config).toBeUndefined();
    expect(findings.some((finding) => finding.severity === 'error')).toBe(true);
    const lines = findings.map(
      ({ severity, code, where, message, hint }) => `${severity} ${where}: ${message} [${code}]\n  ${hint}\n`,
    );
    await expect(lines.join('')).toMatchFileSnapshot(`${fixtures}/bad/${name.replace('.yml', '.findings.txt')}`);
    // Only plain characters reach a terminal.
    // biome-ignore lint/suspicious/noControlCharactersInRegex: that is what must not be there
    expect(lines.join('')).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
  });

  test('all faults of all sections come at once, in the order of the file', () => {
    const { findings } = parseConfig(read('bad/every-kind.yml'), 'c.yml');
    const lines = findings.map((finding) => Number(finding.where.split(':')[1]));
    expect(lines.length).toBeGreaterThan(40);
    expect(lines).toEqual([...lines].sort((a, b) => a - b));
    expect(new Set(findings.map((finding) => finding.code))).toEqual(
      new Set(['config-value', 'config-type', 'config-missing', 'config-unknown-setting', 'config-conflict']),
    );
  });

  test('columns count characters, whatever stands before', () => {
    expect(linesOf('migrate: { wifis: ["äöü😀"], mod: x }')).toEqual([
      'error config-unknown-setting c.yml:1:29 migrate.mod: there is no setting "mod" here',
    ]);
  });

  test.each([
    ['all_wifi', 'all_wifis'],
    ['allWifis', 'all_wifis'],
    ['work-dir', 'work_dir'],
    ['rebooot', 'reboot'],
    ['wfiis', 'wifis'],
    ['kernal', 'kernel'],
    ['nwmgr_file', 'nwmgr_files'],
  ])('migrate.%s: did you mean %s?', (written, meant) => {
    expect(parseConfig(`migrate:\n  ${written}: x\n`, 'c').findings).toMatchObject([
      { hint: `Did you mean ${meant}?` },
    ]);
  });

  test.each([
    ['mode: pretend', 'It belongs under migrate'],
    ['balena: { backup: [] }', 'It belongs under migrate'],
    ['migrate: { no_flash: true }', 'It belongs under debug'],
    ['migrate: { balena: {} }', 'It belongs under the top level'],
    ['migrate: { sha512: x }', 'Remove it; known here: mode'],
    ['migrate: { path: x }', 'Remove it; known here: mode'],
  ])('%s: %s', (text, hint) => {
    expect(parseConfig(text, 'c').findings[0]?.hint).toMatch(new RegExp(`^${hint}`));
  });

  test('a hundred findings are enough', () => {
    const { findings } = parseConfig(Array.from({ length: 2000 }, (_, i) => `k${i}: x\n`).join(''), 'c.yml');
    expect(findings.length).toBe(101);
    expect(findings.at(-1)).toMatchObject({ code: 'config-more', message: 'more faults follow' });
  });
});

describe('hostile files', () => {
  test.each<[string, string, string]>([
    ['larger than the limit', 'a: b\n'.repeat(60_000), 'config-too-large'],
    ['more words than the limit', `a: [${'1,'.repeat(20_000)}]`, 'config-too-large'],
    ['deep brackets', '['.repeat(200_000), 'config-too-deep'],
    ['deep lists', '- '.repeat(100_000), 'config-too-deep'],
    ['deep sections', Array.from({ length: 500 }, (_, i) => `${' '.repeat(i)}a:\n`).join(''), 'config-too-deep'],
    ['deep keys', '? '.repeat(100_000), 'config-too-deep'],
    ['many keys', Array.from({ length: 6000 }, (_, i) => `k${i}:\n`).join(''), 'config-unknown-setting'],
    ['one key, many times', 'a:\n'.repeat(6000), 'config-duplicate-key'],
    ['many documents', '---\n'.repeat(6000), 'config-documents'],
    ['many aliases', `a: [${'*a,'.repeat(6000)}]`, 'config-alias'],
    ['many comments', '#\n'.repeat(9000), 'config-empty'],
    ['many quotes', `'${"''".repeat(100_000)}x`, 'config-syntax'],
    ['one long word', 'x'.repeat(250_000), 'config-type'],
    ['one long key', `? ${'x'.repeat(250_000)}`, 'config-key'],
    ['many brackets', '[]'.repeat(9000), 'config-syntax'],
    ['many colons', 'a:: :'.repeat(3000), 'config-too-deep'],
    ['many tags', '!a '.repeat(6000), 'config-syntax'],
    ['many wrong items', `migrate: { wifis: [${'1,'.repeat(9000)}] }`, 'config-type'],
    ['Windows UTF-16', '\ufffd\ufffdm\0i\0g\0', 'config-encoding'],
  ])('%s', (_name, text, code) => {
    const start = performance.now();
    const { config, findings } = parseConfig(text, 'c.yml');
    expect(performance.now() - start).toBeLessThan(5000);
    expect(config).toBeUndefined();
    expect(findings.map((finding) => finding.code)).toContain(code);
    expect(findings.length).toBeLessThanOrEqual(101);
  });

  const prototypeKeys = JSON.stringify(Reflect.ownKeys(Object.prototype).map(String));
  const words = fc.constantFrom(
    'migrate',
    'balena',
    'debug',
    'image',
    'dd',
    'fs',
    'mode',
    'wifis',
    'path',
    '__proto__',
    'constructor',
  );
  const check = (text: string): void => {
    const { config, findings } = parseConfig(text, 'c.yml');
    expect(config === undefined).toBe(findings.some((finding) => finding.severity === 'error'));
    for (const finding of findings) expect(finding.where).toMatch(/^c\.yml(:\d+:\d+( .+)?)?$/);
    expect(JSON.stringify(Reflect.ownKeys(Object.prototype).map(String))).toBe(prototypeKeys);
    expect(({} as Record<string, unknown>).mode).toBeUndefined();
  };

  test('no text makes it throw', () => {
    const piece = fc.oneof(
      words,
      fc.constantFrom(
        ':',
        ': ',
        '\n',
        '\n  ',
        '- ',
        '[',
        ']',
        '{',
        '}',
        ',',
        '"',
        "'",
        '&a',
        '*a',
        '!x',
        '#',
        '|',
        '>',
        '~',
        '?',
        '%',
        '@',
        '\t',
        '---\n',
        '<<',
      ),
      fc.string({ maxLength: 5 }),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => check(pieces.join(''))),
      { numRuns: 1000 },
    );
  });

  test('no data makes it throw', () => {
    const { value } = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.double(),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
        tie('section'),
      ),
      section: fc.dictionary(fc.oneof(words, fc.string()), tie('value'), { maxKeys: 5 }),
    }));
    fc.assert(
      fc.property(value, (data) => check(stringify(data, { aliasDuplicateObjects: false }) ?? '')),
      { numRuns: 500 },
    );
  });

  test('a right file with one piece of text put in, taken out or doubled never makes it throw', () => {
    const sample = read('seed-readme.yml').replace(/^ *#.*\n/gm, '');
    fc.assert(
      fc.property(
        fc.nat(sample.length),
        fc.nat(20),
        fc.oneof(fc.string({ maxLength: 3 }), fc.constantFrom('\n', ' ', ':', '&a ', '*a')),
        (at, cut, put) => check(sample.slice(0, at) + put + sample.slice(at + cut)),
      ),
      { numRuns: 500 },
    );
  });
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
