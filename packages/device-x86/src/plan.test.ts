import {
  type AskedKernel,
  type Assets,
  type BackupSurvey,
  type Config,
  type Facts,
  makePlan,
  type PlanResult,
  publicPlan,
} from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { pc } from './pc.ts';
import { emptyGrubenv, grubCfg, pcAssets, pcConfig, pcDisk, pcFacts, pcImage } from './pc-fixture.ts';

function plan(
  changes: { facts?: Partial<Facts>; assets?: Partial<Assets>; config?: (config: Config) => Config } = {},
): PlanResult {
  return makePlan({
    config: pcConfig(changes.config),
    facts: pcFacts(changes.facts),
    assets: pcAssets(changes.assets),
    devices: [pc],
    toolVersion: '0.1.0',
  });
}

function refusals(changes: Parameters<typeof plan>[0]): string[] {
  const { plan: made, findings } = plan(changes);
  const errors = findings.filter((finding) => finding.severity === 'error');
  expect(made === undefined).toBe(errors.length > 0);
  for (const finding of errors) expect(finding.hint.length).toBeGreaterThan(10);
  return errors.map((finding) => finding.code);
}

const mebibyte = 1024 * 1024;
const { configJson } = pcAssets();
if (configJson === undefined) throw new Error('the fixture has no config.json');

function pcBackup(): BackupSurvey {
  return {
    volumes: [{ name: 'data', items: [{ source: '/srv', target: [] }], files: 3, contentBytes: 19 * mebibyte }],
    archiveBytes: 20 * mebibyte,
    isMeasured: false,
    unpackedBytes: 21 * mebibyte,
  };
}

const root = pcFacts().mounts[0];
const partition = pcDisk.partitions[0];
if (root === undefined || partition === undefined) throw new Error('the fixture has no root');

describe('a sound PC', () => {
  it('gets a plan and no findings', () => {
    const { plan: made, findings } = plan();
    expect(findings).toEqual([]);
    expect(made?.stage1.map((step) => step.kind)).toEqual([
      ...Array(6).fill('make-directory'),
      'copy-files',
      'copy-files',
      'write-plan',
      'build-initramfs',
      'write-file',
      'set-grub-variable',
    ]);
    expect(made?.stage2.map((step) => step.kind)).toEqual([
      'confirm-grub-variable-cleared',
      'load-payload',
      'prove-image',
      'release-target',
      'flash-image',
      'verify-image',
      'configure-image',
      'commit-image',
    ]);
    expect(made?.pointOfNoReturn).toBe('flash-image');
  });

  it('always gets the same plan, and another one for another image', () => {
    expect(plan().plan?.id).toBe(plan().plan?.id);
    expect(plan({ assets: { image: pcImage({ fileSha256: 'd'.repeat(64) }) } }).plan?.id).not.toBe(plan().plan?.id);
  });

  it('arms last', () => {
    expect(plan().plan?.stage1.at(-1)).toMatchObject({
      kind: 'set-grub-variable',
      name: 'next_entry',
      value: 'balena-migrate-aaaaaaaaaaaa',
    });
  });

  it('boots the running kernel with what its hardware needs, and nothing of the old system', () => {
    const entry = plan({
      config: (c) => ({ ...c, migrate: { ...c.migrate, kernelOptions: ['debug'] } }),
    }).plan?.stage1.find((step) => step.kind === 'write-file');
    expect(entry).toMatchObject({ path: '/boot/grub/custom.cfg' });
    expect(entry?.kind === 'write-file' && entry.text).toBe(`# Made by migrate; removed by "migrate undo".
menuentry 'balena migrate' --unrestricted --id 'balena-migrate-aaaaaaaaaaaa' {
  insmod part_msdos
  insmod ext2
  search --no-floppy --fs-uuid --set=root 11111111-2222-3333-4444-555555555555
  linux '/boot/vmlinuz-6.1.0-50-amd64' 'rdinit=/migrate/init' 'rootfstype=ramfs' 'panic=10' 'console=tty0' 'console=ttyS0,115200' 'debug'
  initrd '/boot/balena-migrate/stage2.img'
}
`);
  });

  it('sees paths on a /boot of its own as GRUB does', () => {
    const boot = {
      ...partition,
      name: 'sda2',
      path: '/dev/sda2',
      device: '8:2',
      number: 2,
      fileSystem: { type: 'ext4', uuid: '99999999-0000-0000-0000-000000000000' },
    };
    const facts = {
      disks: [{ ...pcDisk, partitions: [partition, boot] }],
      mounts: [root, { ...root, device: '8:2', source: '/dev/sda2', target: '/boot' }],
    };
    const { plan: made } = plan({ facts });
    const entry = made?.stage1.find((step) => step.kind === 'write-file');
    expect(entry?.kind === 'write-file' && entry.text).toContain("linux '/vmlinuz-6.1.0-50-amd64'");
    expect(entry?.kind === 'write-file' && entry.text).toContain('--set=root 99999999');
    expect(made?.stage2[0]).toMatchObject({
      pathInFileSystem: '/grub/grubenv',
      fileSystemUuid: '99999999-0000-0000-0000-000000000000',
    });
    expect(made?.payloadFileSystem.uuid).toBe('11111111-2222-3333-4444-555555555555');
  });

  it('takes the image from where it lies, and copies it only from another file system', () => {
    const inPlace = plan().plan?.stage2.find((step) => step.kind === 'load-payload');
    expect(inPlace?.kind === 'load-payload' && inPlace.files[0]).toMatchObject({
      name: 'image',
      pathInFileSystem: '/root/image.img.gz',
    });
    const places = pcFacts().places.filter((place) => place.path !== '/root/image.img.gz');
    const copied = plan({ facts: { places } }).plan?.stage2.find((step) => step.kind === 'load-payload');
    expect(copied?.kind === 'load-payload' && copied.files[0]).toMatchObject({
      pathInFileSystem: '/var/lib/balena-migrate/payload/files/image',
    });
  });

  it('with a backup makes it last but for arming, and puts it into resin-data', () => {
    const { plan: made, findings } = plan({
      assets: { backup: pcBackup(), image: pcImage({ dataFreeBytes: 30 * mebibyte }) },
    });
    expect(findings).toEqual([]);
    expect(made?.stage1.map((step) => step.kind).slice(-5)).toEqual([
      'write-backup',
      'write-plan',
      'build-initramfs',
      'write-file',
      'set-grub-variable',
    ]);
    expect(made?.stage1.find((step) => step.kind === 'write-backup')).toMatchObject({
      to: '/var/lib/balena-migrate/payload/files/backup.tgz',
      sealTo: '/var/lib/balena-migrate/payload/files/backup.json',
      limitBytes: 20 * mebibyte,
    });
    expect(made?.stage2.find((step) => step.kind === 'load-backup')).toMatchObject({
      pathInFileSystem: '/var/lib/balena-migrate/payload/files/backup.tgz',
      limitBytes: 20 * mebibyte,
    });
    expect(made?.stage2.find((step) => step.kind === 'configure-image')).toMatchObject({
      files: [
        { path: '/config.json' },
        { payload: 'backup.tgz', partition: 'resin-data', path: '/backup.tgz', mode: 0o600 },
      ],
    });
    for (const budget of [made?.memory, ...(made?.spaces ?? []), ...(made?.dataSpaces ?? [])])
      expect(budget?.needed).toContainEqual({ what: 'backup (at most)', bytes: 20 * mebibyte });
  });

  it('gets its hostname by a config.json made for it, whose hash is not shown', () => {
    const withHostname = { hostname: 'brownfield', sizeBytes: 420, sha256: 'e'.repeat(64) };
    const { plan: made } = plan({ assets: { configJson: { ...configJson, withHostname } } });
    const step = made?.stage1.find(({ kind }) => kind === 'write-config-json');
    expect(step).toMatchObject({ from: '/root/config.json', hostname: 'brownfield', sha256: 'e'.repeat(64) });
    expect(JSON.stringify(made?.stage1.filter(({ kind }) => kind === 'copy-files'))).not.toContain('config.json');
    expect(made?.stage2.find(({ kind }) => kind === 'load-payload')).toMatchObject({
      files: [{ name: 'image' }, { name: 'config.json', sizeBytes: 420, sha256: 'e'.repeat(64) }],
    });
    expect(made === undefined ? '' : JSON.stringify(publicPlan(made))).not.toContain('eeee');
  });

  it('is not flashed with no_flash', () => {
    const { plan: made } = plan({ config: (c) => ({ ...c, debug: { noFlash: true } }) });
    expect(made?.pointOfNoReturn).toBeUndefined();
    expect(made?.stage2.at(-1)?.kind).toBe('release-target');
  });

  it('gets a UEFI boot entry before anything is flashed', () => {
    const { plan: made } = plan({ facts: uefi({}) });
    expect(made?.stage2.map((step) => step.kind).slice(4, 6)).toEqual(['set-uefi-boot-entry', 'flash-image']);
  });
});

function uefi(changes: object): Partial<Facts> {
  const bootEntries = [
    { number: 4, description: 'debian', isActive: true, partitionUuid: 'e0', filePath: '\\EFI\\debian\\shimx64.efi' },
  ];
  return {
    firmware: {
      kind: 'uefi',
      bits: 64,
      secureBoot: false,
      variablesReadable: true,
      bootCurrent: 4,
      bootOrder: [4],
      bootEntries,
      ...changes,
    },
  };
}

function bootFile(path: string, text: string): Partial<Facts> {
  return {
    bootFiles: [
      ...pcFacts().bootFiles.filter((file) => file.path !== path),
      { path, sizeBytes: text.length, mode: 0o600, text },
    ],
  };
}

describe('the kernel of stage 2', () => {
  const asking = (config: Config): Config => ({
    ...config,
    migrate: { ...config.migrate, kernel: { path: 'other' }, initrd: { path: 'initrd' } },
  });
  const withAsked = (asked: AskedKernel | undefined) =>
    plan({ config: asking, facts: { kernel: { ...pcFacts().kernel, ...(asked === undefined ? {} : { asked }) } } });
  const entryOf = ({ plan: made }: PlanResult): string =>
    made?.stage1.flatMap((step) => (step.kind === 'write-file' ? [step.text] : [])).join() ?? '';

  it('is the one that is asked for, where this system has its modules', () => {
    const result = withAsked({ path: '/boot/other', sizeBytes: 1, release: '6.12.1' });
    expect(entryOf(result)).toContain("linux '/boot/other'");
    expect(result.findings.map(({ where }) => where)).toEqual(['migrate.initrd']);
  });

  it.each<[string, AskedKernel | undefined]>([
    ['cannot be taken', { path: '/boot/other', problem: 'it is not there' }],
    ['is not known', undefined],
  ])('is the running one where that %s, which is said', (_, asked) => {
    const result = withAsked(asked);
    expect(entryOf(result)).toContain(`linux '${pcFacts().kernel.image?.path}'`);
    expect(result.findings).toMatchObject([
      { severity: 'warning', code: 'setting-ignored', where: 'migrate.kernel' },
      { severity: 'warning', code: 'setting-ignored', where: 'migrate.initrd' },
    ]);
  });

  it('must lie where GRUB can read it', () => {
    const mounts = [...pcFacts().mounts, { ...root, target: '/srv', device: '253:0', source: '/dev/mapper/srv' }];
    const kernel = { ...pcFacts().kernel, asked: { path: '/srv/other', sizeBytes: 1, release: '6.12.1' } };
    expect(refusals({ config: asking, facts: { mounts, kernel } })).toEqual(['kernel-image']);
  });
});

describe('refusals', () => {
  it.each<[string, Parameters<typeof plan>[0]]>([
    ['not-root', { facts: { userId: 1000 } }],
    ['in-container', { facts: { inContainer: true } }],
    ['device-unknown', { facts: { kernel: { ...pcFacts().kernel, architecture: 'i386' } } }],
    [
      'kernel-too-old',
      { facts: { kernel: { ...pcFacts().kernel, release: '2.6.32-5', image: { path: '/boot/v', sizeBytes: 1 } } } },
    ],
    ['kernel-image', { facts: { kernel: { release: '6.1.0-50-amd64', architecture: 'x86_64', commandLine: '' } } }],
    [
      'kernel-image',
      {
        facts: { kernel: { ...pcFacts().kernel, image: { path: '/boot/v', sizeBytes: 1, release: '6.1.0-51-amd64' } } },
      },
    ],
    ['kernel-modules', { facts: { modules: { needed: [], missing: ['vfat'] } } }],
    ['secure-boot', { facts: uefi({ secureBoot: true }) }],
    ['uefi-variables', { facts: uefi({ variablesReadable: false, bootEntries: [], bootCurrent: undefined }) }],
    [
      'grub-not-booted',
      {
        facts: uefi({
          bootEntries: [
            { number: 4, description: 'systemd', isActive: true, filePath: '\\EFI\\systemd\\systemd-bootx64.efi' },
          ],
        }),
      },
    ],
    [
      'grub-not-in-boot-sector',
      { facts: { disks: [{ ...pcDisk, bootCode: Buffer.from('LILO').toString('base64') }] } },
    ],
    ['grub-next-entry', { facts: bootFile('/boot/grub/grub.cfg', grubCfg.replace('   save_env next_entry\n', '')) }],
    ['grub-custom-cfg-hook', { facts: bootFile('/boot/grub/grub.cfg', grubCfg.replaceAll('custom.cfg', 'other.cfg')) }],
    ['grub-signatures', { facts: bootFile('/boot/grub/grub.cfg', `set check_signatures=enforce\n${grubCfg}`) }],
    ['grub-custom-cfg', { facts: bootFile('/boot/grub/custom.cfg', 'menuentry mine {}') }],
    [
      'grub-next-entry-taken',
      { facts: bootFile('/boot/grub/grubenv', emptyGrubenv.replace('#######', 'next_entry=2\n').slice(0, 1024)) },
    ],
    ['grub-environment', { facts: bootFile('/boot/grub/grubenv', 'rubbish') }],
    ['boot-manager-unknown', { facts: { bootFiles: [] } }],
    ['boot-read-only', { facts: { mounts: [{ ...root, options: ['ro'] }] } }],
    ['target-too-small', { assets: { image: pcImage({ sizeBytes: pcDisk.sizeBytes }) } }],
    ['target-read-only', { facts: { disks: [{ ...pcDisk, isReadOnly: true }] } }],
    ['target-sector-size', { facts: { disks: [{ ...pcDisk, logicalSectorSize: 4096 }] } }],
    ['target-unknown', { config: (c) => ({ ...c, migrate: { ...c.migrate, forceFlashDevice: '/dev/sdz' } }) }],
    ['memory-too-small', { facts: { memory: { totalBytes: 300 * 1024 * 1024, availableBytes: 0 } } }],
    [
      'space-too-small',
      { facts: { places: pcFacts().places.map((place) => ({ ...place, availableBytes: 100 * 1024 * 1024 })) } },
    ],
    ['space-too-small', { facts: { places: onOwnBootPartition({ availableBytes: 1024 * 1024 }) } }],
    ['facts-incomplete', { facts: { places: pcFacts().places.slice(0, 2) } }],
    ['image-flasher', { assets: { image: pcImage({ kind: 'balena-flasher', labels: {} }) } }],
    ['image-unknown', { assets: { image: pcImage({ kind: 'unknown', labels: {} }) } }],
    [
      'config-json-device-type',
      { assets: { configJson: { path: 'c', sizeBytes: 1, sha256: '', deviceType: 'raspberrypi3' } } },
    ],
    ['network-unknown', { assets: { networks: { profiles: [], notCarried: [], missing: ['home'] } } }],
    ['network-missing', { config: (c) => ({ ...c, migrate: { ...c.migrate, requireNetworkConfig: true } }) }],
    [
      'app-name',
      {
        config: (c) => ({ ...c, balena: { ...c.balena, appName: 'a' } }),
        assets: {
          configJson: { path: 'c', sizeBytes: 1, sha256: '', deviceType: 'genericx86-64-ext', applicationName: 'b' },
        },
      },
    ],
    ['setting-unsupported', { config: (c) => ({ ...c, migrate: { ...c.migrate, mode: 'extract' } }) }],
  ])('%s', (code, changes) => {
    expect(refusals(changes)).toContain(code);
  });

  it.each<[string, string, Partial<BackupSurvey>, number | undefined]>([
    ['resin-data as it is flashed', 'backup-too-large', {}, 23 * mebibyte],
    ['resin-data once it has grown', 'backup-too-large', { unpackedBytes: 5000 * mebibyte }, 30 * mebibyte],
    ['a resin-data that cannot be read', 'backup-room-unknown', {}, undefined],
    ['RAM', 'memory-too-small', { archiveBytes: 700 * mebibyte }, 800 * mebibyte],
    ['the disk of this system', 'space-too-small', { archiveBytes: 2000 * mebibyte }, 3000 * mebibyte],
  ])('a backup too large for %s is refused with the arithmetic', (_where, code, survey, dataFreeBytes) => {
    const image = pcImage(dataFreeBytes === undefined ? {} : { dataFreeBytes });
    const changes = { assets: { backup: { ...pcBackup(), ...survey }, image } };
    expect(refusals(changes)).toContain(code);
    const message = plan(changes).findings.find((finding) => finding.code === code)?.message;
    if (dataFreeBytes !== undefined) expect(message).toMatch(/needs \d+ MiB .*: \d+ MiB too little$/);
  });

  it('the boundary of the disk is exact to the sector', () => {
    const backup = 33 * 512;
    expect(refusals({ assets: { image: pcImage({ sizeBytes: pcDisk.sizeBytes - backup }) } })).toEqual([]);
    expect(refusals({ assets: { image: pcImage({ sizeBytes: pcDisk.sizeBytes - backup + 512 }) } })).toEqual([
      'target-too-small',
    ]);
  });

  it('an image for another device type is refused, and so is one that differs from config.json', () => {
    expect(refusals({ assets: { image: pcImage({ deviceType: 'raspberrypi3' }) } })).toEqual([
      'image-device-type',
      'device-type-mismatch',
    ]);
    expect(refusals({ assets: { image: pcImage({ deviceType: 'intel-nuc' }) } })).toEqual(['device-type-mismatch']);
  });

  it('LVM, encryption and btrfs are refused where GRUB could not clear its one-shot', () => {
    const mounts = [{ ...root, device: '253:0', source: '/dev/mapper/vg-root' }];
    expect(refusals({ facts: { mounts } })).toEqual(
      expect.arrayContaining(['grub-cannot-write', 'target-unknown', 'payload-place']),
    );
    const btrfs = { ...partition, fileSystem: { type: 'btrfs', uuid: 'bb' } };
    expect(
      refusals({ facts: { disks: [{ ...pcDisk, partitions: [btrfs] }], mounts: [{ ...root, fileSystem: 'btrfs' }] } }),
    ).toContain('grub-cannot-write');
  });

  it('twins of a file system are refused, since one could be taken for the other', () => {
    const twin = {
      ...pcDisk,
      name: 'sdb',
      path: '/dev/sdb',
      device: '8:16',
      partitions: [{ ...partition, name: 'sdb1', path: '/dev/sdb1', device: '8:17' }],
    };
    expect(refusals({ facts: { disks: [pcDisk, twin] } })).toEqual(
      expect.arrayContaining(['boot-uuid', 'payload-place']),
    );
  });

  it('says everything at once', () => {
    expect(
      refusals({
        facts: { userId: 1000, bootFiles: [], modules: { needed: [], missing: ['ext4'] } },
        assets: { image: pcImage({ sizeBytes: 2 ** 40 }) },
      }),
    ).toEqual(expect.arrayContaining(['not-root', 'boot-manager-unknown', 'kernel-modules', 'target-too-small']));
  });

  it('an untested system is only warned of', () => {
    const { plan: made, findings } = plan({
      facts: { os: { id: 'ubuntu', versionId: '24.04', prettyName: 'Ubuntu 24.04', idLike: ['debian'] } },
    });
    expect(made).toBeDefined();
    expect(findings.map((finding) => [finding.severity, finding.code])).toEqual([['warning', 'os-untested']]);
  });
});

describe('networks of the old system', () => {
  const profile = {
    name: 'migrated-wifi-a.nmconnection',
    description: 'Wi-Fi "a" from x',
    sizeBytes: 10,
    sha256: 'ab',
  };
  const required = (c: Config): Config => ({
    ...c,
    migrate: { ...c.migrate, requireNetworkConfig: true, allWifis: true },
  });

  it('move through the payload to the boot partition, and count as a way back online', () => {
    const { plan: made, findings } = plan({
      config: required,
      assets: { networks: { profiles: [profile], notCarried: [], missing: [] } },
    });
    expect(findings).toEqual([]);
    const write = made?.stage1.find((step) => step.kind === 'write-connections');
    expect(write?.files).toEqual([
      {
        name: profile.name,
        description: profile.description,
        sha256: 'ab',
        to: '/var/lib/balena-migrate/payload/files/migrated-connection-0',
      },
    ]);
    const configure = made?.stage2.find((step) => step.kind === 'configure-image');
    expect(configure?.files).toContainEqual({
      payload: 'migrated-connection-0',
      partition: 'resin-boot',
      path: '/system-connections/migrated-wifi-a.nmconnection',
      mode: 0o600,
    });
  });

  it('take the files of the proxy along, and are refused without one that is needed', () => {
    const networks = { profiles: [], notCarried: [], missing: [] };
    const file = { name: 'redsocks.conf', description: 'proxy', sizeBytes: 9, sha256: 'cd' };
    const { plan: made } = plan({ assets: { networks: { ...networks, proxy: { files: [file], notCarried: [] } } } });
    expect(made?.stage1.find((step) => step.kind === 'write-connections')).toMatchObject({
      choice: { proxy: true },
      files: [{ name: 'redsocks.conf', to: '/var/lib/balena-migrate/payload/files/redsocks.conf' }],
    });
    expect(made?.stage2.find((step) => step.kind === 'configure-image')?.files).toContainEqual({
      payload: 'redsocks.conf',
      partition: 'resin-boot',
      path: '/system-proxy/redsocks.conf',
      mode: 0o600,
    });
    const severities = [true, false].map((isNeeded) => {
      const notCarried = [{ isNeeded, what: 'the proxy', reason: 'it names no port', source: 'f' }];
      return plan({ assets: { networks: { ...networks, proxy: { files: [], notCarried } } } }).findings;
    });
    expect(severities).toMatchObject([
      [{ severity: 'error', code: 'proxy-not-carried', where: 'f' }],
      [{ severity: 'warning', code: 'proxy-not-carried', message: 'the proxy stays behind: it names no port' }],
    ]);
  });

  it('are named with the reason where they stay behind', () => {
    const notCarried = [{ medium: 'wifi' as const, what: 'Wi-Fi "b"', reason: 'it is disabled', source: 'f:3' }];
    const { plan: made, findings } = plan({ assets: { networks: { profiles: [], notCarried, missing: [] } } });
    expect(made).toBeDefined();
    expect(findings).toMatchObject([
      {
        severity: 'warning',
        code: 'network-not-carried',
        where: 'f:3',
        message: 'Wi-Fi "b" stays behind: it is disabled',
      },
    ]);
  });

  it('cannot be known on a desk', () => {
    expect(plan({ config: required }).findings).toMatchObject([{ severity: 'warning', code: 'network-not-seen' }]);
  });
});

/** The places of a machine whose /boot is a partition of its own. */
function onOwnBootPartition({ availableBytes }: { availableBytes: number }): Facts['places'] {
  return pcFacts().places.map((place) =>
    place.existing === '/boot' ? { ...place, mountTarget: '/boot', availableBytes } : place,
  );
}

describe('another disk than the one that the machine starts from', () => {
  const other = { ...pcDisk, name: 'sdb', path: '/dev/sdb', device: '8:16', serial: 'DISK2', partitions: [] };
  const force = (c: Config): Config => ({ ...c, migrate: { ...c.migrate, forceFlashDevice: '/dev/sdb' } });
  const codes = (facts: Partial<Facts>) =>
    plan({ facts: { disks: [pcDisk, other], ...facts }, config: force }).findings.map(({ code }) => code);

  it('is flashed where the setting names it, with a word on what the BIOS will do', () => {
    const { plan: made } = plan({ facts: { disks: [pcDisk, other] }, config: force });
    expect(made?.target).toMatchObject({ pathInStage1: '/dev/sdb', serial: 'DISK2' });
    expect(codes({})).toEqual(['bios-other-disk']);
  });
});

describe('what stage 2 is told', () => {
  const settingsOf = (config: (c: Config) => Config, facts: Partial<Facts> = {}) => {
    const { plan: made, findings } = plan({ config, facts });
    expect(findings).toEqual([]);
    const step = made?.stage1.find(({ kind }) => kind === 'build-initramfs');
    return { plan: made, settings: step?.kind === 'build-initramfs' ? step.settings : undefined };
  };
  const withMigrate = (changes: Partial<Config['migrate']>) => (c: Config) => ({
    ...c,
    migrate: { ...c.migrate, ...changes },
  });
  const watchdogs = [{ path: '/dev/watchdog0', identity: 'iTCO_wdt', isRunning: true, timeoutSeconds: 30 }];

  it('feeds a running watchdog unasked', () => {
    const { settings } = settingsOf((c) => c, { watchdogs });
    expect(settings?.watchdogs).toEqual([{ identity: 'iTCO_wdt', action: 'feed', intervalSeconds: 10 }]);
  });

  it('waits and falls back as asked', () => {
    const { plan: made, settings } = settingsOf(withMigrate({ delaySeconds: 60, failMode: 'rescue-shell' }));
    expect(made?.delaySeconds).toBe(60);
    expect(settings).toMatchObject({ failMode: 'rescue-shell', timeoutSeconds: 1860 });
  });

  it('logs to the drive and not to the console where that is asked', () => {
    const stick = {
      ...pcDisk,
      name: 'sdb',
      path: '/dev/sdb',
      serial: 'STICK',
      fileSystem: { type: 'vfat', uuid: 'ABCD-1234' },
      partitions: [],
    };
    const log = { level: 'debug', drive: '/dev/sdb', console: false } as const;
    const { plan: made } = settingsOf(withMigrate({ log }), { disks: [pcDisk, stick] });
    expect(made).toMatchObject({
      logDrive: { path: '/dev/sdb', uuid: 'ABCD-1234', fileSystem: 'vfat' },
      logLevel: 'debug',
      isConsoleQuiet: true,
    });
  });
});

describe('the arithmetic of space', () => {
  it('counts the initramfs where it is written', () => {
    const items = (places: Facts['places']) =>
      plan({ facts: { places } }).plan?.spaces.map(({ path, needed }) => [path, needed.map(({ what }) => what)]);
    const initramfs = 'initramfs (at most)';
    const reserve = 'left free for the running system';
    expect(items(pcFacts().places)).toEqual([
      ['/var/lib/balena-migrate', ['runtime', 'files copied for stage 2', initramfs, reserve]],
    ]);
    expect(items(onOwnBootPartition({ availableBytes: 64 * 1024 * 1024 }))).toEqual([
      ['/var/lib/balena-migrate', ['runtime', 'files copied for stage 2', reserve]],
      ['/boot/balena-migrate', [initramfs, reserve]],
    ]);
  });
});
