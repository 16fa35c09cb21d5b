import { spawnSync } from 'node:child_process';
import { gunzipSync, gzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { buildInitramfs, renderBootSettings, type Stage2BootSettings } from './initramfs.ts';

const settings: Stage2BootSettings = {
  payloadUuid: '0f0e0d0c-0b0a-4908-8706-050403020100',
  payloadFileSystem: 'ext4',
  payloadPath: '/@/var/lib/balena-migrate/payload',
  timeoutSeconds: 900,
  planId: '0123456789abcdef',
};
const elf = Buffer.from('\x7fELF module');
const host = createMemoryHost({
  files: {
    '/b/runtime/busybox': 'busybox',
    '/b/app/init': '#!/migrate/busybox sh\n',
    '/lib/modules/1/b.ko': elf,
    '/lib/modules/1/a.ko.gz': gzipSync(elf),
    '/lib/modules/1/text.ko': 'text',
  },
});
const parts = {
  host,
  busybox: '/b/runtime/busybox',
  init: '/b/app/init',
  modules: [
    { name: 'b', path: '/lib/modules/1/b.ko' },
    { name: 'a', path: '/lib/modules/1/a.ko.gz' },
  ],
  settings,
};

function cpio(args: readonly string[], input: Uint8Array): string {
  const result = spawnSync('cpio', args, {
    input,
    encoding: 'utf8',
    env: { ...process.env, TZ: 'UTC' },
  });
  expect([result.status, result.stderr]).toEqual([0, expect.stringMatching(/^\d+ blocks?\n$/)]);
  return result.stdout;
}

describe('buildInitramfs', () => {
  it('holds all of it below /migrate, and the console that the kernel opens', async () => {
    const archive = gunzipSync(await buildInitramfs(parts));
    expect(cpio(['-it'], archive).trim().split('\n')).toEqual([
      ...['dev', 'dev/console', 'migrate', 'migrate/boot.conf', 'migrate/busybox', 'migrate/init'],
      ...['migrate/modules', 'migrate/modules/order', 'migrate/modules/b.ko', 'migrate/modules/a.ko'],
    ]);
    expect(cpio(['-itv', 'dev/console', 'migrate/init', 'migrate/boot.conf'], archive)).toMatch(
      /^crw------- .* 5, +1 .*\n-rw------- .*boot\.conf\n-rwxr-xr-x .*init\n$/,
    );
    expect(cpio(['-i', '--to-stdout', 'migrate/modules/order'], archive)).toBe('b\na\n');
    expect(cpio(['-i', '--to-stdout', 'migrate/modules/a.ko'], archive)).toBe(elf.toString());
  });

  it('is the same for the same parts', async () => {
    expect(await buildInitramfs(parts)).toEqual(await buildInitramfs(parts));
  });

  it.each([
    [
      'a module that is none',
      { modules: [{ name: 'text', path: '/lib/modules/1/text.ko' }] },
      /text\.ko .*no kernel module/,
    ],
    [
      'a module name that is none',
      { modules: [{ name: '../x', path: '/lib/modules/1/b.ko' }] },
      /"\.\.\/x" is no module name/,
    ],
    ['settings without plan', { settings: { ...settings, planId: '' } }, /PLAN_ID/],
  ])('refuses %s', async (_name, change, message) => {
    await expect(buildInitramfs({ ...parts, ...change })).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(message),
    });
  });
});

/** What a shell has in its variables after reading the settings. */
function readByShell(text: string): string[] {
  const script = `${text}printf '%s\\n' "$PAYLOAD_UUID" "$PAYLOAD_FILE_SYSTEM" "$PAYLOAD_PATH" "$TIMEOUT_SECONDS" "$PLAN_ID"`;
  return spawnSync('sh', ['-c', script], { encoding: 'utf8' }).stdout.trimEnd().split('\n');
}

describe('what init restores at once', () => {
  const restore = {
    uuid: '5DE4-665C',
    fileSystem: 'vfat',
    path: '/config.txt',
    offsetBytes: 1024,
    original: Buffer.from('old').toString('base64'),
    armed: Buffer.from('new').toString('base64'),
  };

  it('is named in boot.conf and lies beside it', async () => {
    expect(renderBootSettings({ ...settings, restore })).toContain(
      "RESTORE_UUID='5DE4-665C'\nRESTORE_FILE_SYSTEM='vfat'\nRESTORE_PATH='/config.txt'\nRESTORE_SECTOR='2'\n",
    );
    const archive = gunzipSync(await buildInitramfs({ ...parts, settings: { ...settings, restore } })).toString(
      'latin1',
    );
    expect(archive).toMatch(/migrate\/boot-armed\0+new/);
    expect(archive).toMatch(/migrate\/boot-original\0+old/);
    expect(gunzipSync(await buildInitramfs({ ...parts, settings })).includes('boot-armed')).toBe(false);
  });

  it.each([
    { offsetBytes: 100 },
    { offsetBytes: -512 },
    { path: "/a'b" },
    { path: '/../x' },
    { uuid: '' },
    { fileSystem: '' },
  ])('is refused with %j', (change) => {
    expect(() => renderBootSettings({ ...settings, restore: { ...restore, ...change } })).toThrow(/RESTORE_/);
  });
});

describe('the words for watchdogs', () => {
  const duty = { identity: 'i6300ESB timer', action: 'feed', intervalSeconds: 10 } as const;
  it('are three for each, whatever its driver calls itself', () => {
    const watchdogs = [duty, { ...duty, identity: "it's $(reboot)\\", action: 'stop' as const }];
    expect(renderBootSettings({ ...settings, watchdogs, failMode: 'rescue-shell' })).toContain(
      "FAIL_MODE='rescue-shell'\nWATCHDOGS='i6300ESB_timer feed 10 it_s___reboot stop 10'\n",
    );
  });

  it.each([
    { identity: '' },
    { identity: ' $ ' },
    { identity: 'a\nb' },
    { intervalSeconds: 0 },
    { intervalSeconds: 1.5 },
  ])('are refused with %j', (change) => {
    expect(() => renderBootSettings({ ...settings, watchdogs: [{ ...duty, ...change }] })).toThrow(/WATCHDOGS/);
  });
});

describe('renderBootSettings', () => {
  it.each([settings, { ...settings, payloadUuid: 'ABCD-1234', payloadPath: '/a b/c+d=e~f' }])(
    'is read by a shell as it was meant: %j',
    (some) => {
      expect(readByShell(renderBootSettings(some))).toEqual([
        some.payloadUuid,
        some.payloadFileSystem,
        some.payloadPath,
        String(some.timeoutSeconds),
        some.planId,
      ]);
    },
  );

  it.each<Partial<Stage2BootSettings>>([
    { payloadPath: "/a'; reboot; '" },
    { payloadPath: '/a\nreboot' },
    { payloadPath: '/a\n' },
    { payloadPath: '/$(reboot)' },
    { payloadPath: '/`reboot`' },
    { payloadPath: '/a\\' },
    { payloadPath: '/a/../../etc' },
    { payloadPath: '/./a' },
    { payloadPath: 'relative' },
    { payloadPath: '/a//b' },
    { payloadPath: '/a/' },
    { payloadPath: '' },
    { payloadUuid: '' },
    { payloadUuid: '0f0e0d0c-0b0a-4908-8706-050403020100\n' },
    { payloadUuid: "x' y" },
    { payloadFileSystem: 'ext4 -o rw' },
    { payloadFileSystem: '-o' },
    { payloadFileSystem: '' },
    { planId: "a'b" },
    { planId: 'a.*' },
    { planId: '' },
    { timeoutSeconds: 0 },
    { timeoutSeconds: -1 },
    { timeoutSeconds: 1.5 },
    { timeoutSeconds: Number.NaN },
    { timeoutSeconds: Number.POSITIVE_INFINITY },
    { timeoutSeconds: 1e9 },
  ])('refuses %j', (change) => {
    expect(() => renderBootSettings({ ...settings, ...change })).toThrow(
      expect.objectContaining({ code: 'invalid-input' }),
    );
  });

  it('never lets a value out of its quotes', () => {
    const text = fc.string({ unit: fc.constantFrom(...'ab/\'"\\$`;&|<>()\n\r \t*?[]{}#!~=-.'), maxLength: 20 });
    fc.assert(
      fc.property(text, text, text, text, (payloadUuid, payloadFileSystem, payloadPath, planId) => {
        let rendered: string;
        try {
          rendered = renderBootSettings({ payloadUuid, payloadFileSystem, payloadPath, planId, timeoutSeconds: 1 });
        } catch {
          return;
        }
        expect(rendered).toMatch(/^([A-Z_]+='[^'\n\\]*'\n){5}$/);
      }),
      { numRuns: 2000 },
    );
    fc.assert(
      fc.property(text, (path) => {
        let rendered: string;
        try {
          rendered = renderBootSettings({ ...settings, payloadPath: `/${path}` });
        } catch {
          return;
        }
        expect(rendered).toMatch(/^([A-Z_]+='[^'\n\\]*'\n){5}$/);
      }),
      { numRuns: 2000 },
    );
  });
});
