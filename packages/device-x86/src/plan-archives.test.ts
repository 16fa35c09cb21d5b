// Plans that write balenaOS file system by file system, from one archive for each partition.
import { type ArchivesFacts, type Assets, type Facts, makePlan, partitionNames, totalOf } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { pc } from './pc.ts';
import { pcAssets, pcConfig, pcFacts, pcImage } from './pc-fixture.ts';

const mebibyte = 1024 * 1024;

const archives: ArchivesFacts = {
  setting: {
    kind: 'fs',
    deviceSlug: 'genericx86-64-ext',
    check: 'none',
    maxData: true,
    mkfsDirect: false,
    table: 'gpt',
    partitions: Object.fromEntries(
      partitionNames.map((name) => [name, { blocks: 81_920, archive: { path: `/root/resin-${name}.tgz` } }]),
    ) as ArchivesFacts['setting']['partitions'],
  },
  archives: Object.fromEntries(
    partitionNames.map((name, index) => [
      name,
      {
        path: `/root/resin-${name}.tgz`,
        sizeBytes: 20 * mebibyte,
        sha256: String(index).repeat(64),
        compression: 'gzip',
      },
    ]),
  ) as ArchivesFacts['archives'],
  ...(({ sizeBytes, table, labels, deviceType }) => ({ sizeBytes, table, labels, deviceType: deviceType ?? '' }))(
    pcImage(),
  ),
};

const writer = { path: 'runtime/file-systems/mke2fs', sizeBytes: 8 * mebibyte, isExecutable: true };

function assets({ hasWriter = true } = {}): Partial<Assets> {
  const { runtime } = pcAssets();
  if (runtime === undefined) throw new Error('the fixture has no runtime');
  return { image: archives, runtime: { ...runtime, files: [...runtime.files, ...(hasWriter ? [writer] : [])] } };
}

function plan(changes: { assets?: Partial<Assets>; firmware?: Facts['firmware']; noFlash?: boolean } = {}) {
  const places = partitionNames.map((name) => ({
    path: `/root/resin-${name}.tgz`,
    existing: `/root/resin-${name}.tgz`,
    rest: '',
    mountTarget: '/',
    availableBytes: 2000 * mebibyte,
  }));
  const uefi: Facts['firmware'] = {
    kind: 'uefi',
    bits: 64,
    secureBoot: false,
    variablesReadable: true,
    bootCurrent: 4,
    bootOrder: [4],
    bootEntries: [
      { number: 4, description: 'debian', isActive: true, partitionUuid: 'e0', filePath: '\\EFI\\debian\\shimx64.efi' },
    ],
  };
  return makePlan({
    config: pcConfig((config) => ({
      ...config,
      balena: { ...config.balena, image: archives.setting },
      debug: { noFlash: changes.noFlash === true },
    })),
    facts: pcFacts({ firmware: changes.firmware ?? uefi, places: [...pcFacts().places, ...places] }),
    assets: pcAssets({ ...assets(), ...changes.assets }),
    devices: [pc],
    toolVersion: '0.1.0',
  });
}

describe('a plan with archives', () => {
  it('makes file systems instead of flashing, and commits by the partition table', () => {
    const { plan: made, findings } = plan();
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(made?.stage2.map((step) => step.kind)).toEqual([
      'confirm-grub-variable-cleared',
      'load-payload',
      'release-target',
      'prove-archives',
      'set-uefi-boot-entry',
      'write-file-systems',
      'configure-image',
      'commit-table',
    ]);
    expect(made?.pointOfNoReturn).toBe('write-file-systems');
  });

  it('takes every archive from where it lies into RAM', () => {
    const load = plan().plan?.stage2.find((step) => step.kind === 'load-payload');
    expect(load?.files.filter(({ name }) => name.startsWith('archive-'))).toEqual(
      partitionNames.map((name, index) => ({
        name: `archive-${name}`,
        pathInFileSystem: `/root/resin-${name}.tgz`,
        sizeBytes: 20 * mebibyte,
        sha256: String(index).repeat(64),
      })),
    );
  });

  it('takes the programs that make file systems along, which no other plan does', () => {
    const filesOf = (made: ReturnType<typeof makePlan>['plan']) =>
      made?.stage1.flatMap((step) => (step.kind === 'copy-files' ? step.files.map(({ to }) => to) : []));
    const path = '/var/lib/balena-migrate/payload/runtime/file-systems/mke2fs';
    expect(filesOf(plan().plan)).toContain(path);
    const whole = makePlan({
      config: pcConfig(),
      facts: pcFacts(),
      assets: pcAssets({ ...assets(), image: pcImage() }),
      devices: [pc],
      toolVersion: '0.1.0',
    }).plan;
    expect(whole).toBeDefined();
    expect(filesOf(whole)).not.toContain(path);
    const needs = (made: typeof whole) => made?.memory.needed.map(({ what }) => what);
    expect(needs(plan().plan)).toContain('programs that make file systems');
    expect(needs(whole)).not.toContain('programs that make file systems');
  });

  it('counts the archives', () => {
    const [with20, with40] = [20, 40].map((mib) => {
      const larger = Object.fromEntries(
        partitionNames.map((name) => [name, { ...archives.archives[name], sizeBytes: mib * mebibyte }]),
      ) as ArchivesFacts['archives'];
      const { plan: made } = plan({ assets: { image: { ...archives, archives: larger } } });
      return made === undefined ? 0 : totalOf(made.memory);
    });
    expect((with40 ?? 0) - (with20 ?? 0)).toBe(5 * 20 * mebibyte);
  });

  it('is another one for another archive', () => {
    const { boot } = archives.archives;
    const other = { ...archives, archives: { ...archives.archives, boot: { ...boot, sha256: 'f'.repeat(64) } } };
    expect(plan({ assets: { image: other } }).plan?.id).not.toBe(plan().plan?.id);
  });

  it('flashes nothing where debug.no_flash says so', () => {
    const { plan: made } = plan({ noFlash: true });
    expect(made?.stage2.map((step) => step.kind)).not.toContain('write-file-systems');
    expect(made?.pointOfNoReturn).toBeUndefined();
  });

  it('is refused on BIOS, and where the bundle lacks the programs', () => {
    const codes = (changes: Parameters<typeof plan>[0]) =>
      plan(changes)
        .findings.filter(({ severity }) => severity === 'error')
        .map(({ code }) => code);
    expect(codes({ firmware: { kind: 'bios' } })).toEqual(['archives-without-boot-code']);
    expect(codes({ assets: assets({ hasWriter: false }) })).toEqual(['runtime-incomplete']);
  });
});
