// Plans with a lifeboat: when there is one, in which order its steps come, and what is said where there is none.
import { type Assets, type Config, type Disk, type Facts, makePlan, type Plan, type PlanResult } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { pc } from './pc.ts';
import { pcAssets, pcConfig, pcDisk, pcFacts, pcImage } from './pc-fixture.ts';

const mebibyte = 1024 * 1024;
const loader = { path: 'runtime/lifeboat/boot.img', sizeBytes: 512, isExecutable: false };
const gptDisk: Disk = {
  ...pcDisk,
  table: { kind: 'gpt', id: 'd15cd15c-0000-4000-8000-000000000000', backupAtEnd: true },
};
const uefi: Facts['firmware'] = {
  kind: 'uefi',
  bits: 64,
  secureBoot: false,
  variablesReadable: true,
  bootOrder: [],
  bootEntries: [],
};

interface Changes {
  readonly facts?: Partial<Facts>;
  readonly assets?: Partial<Assets>;
  readonly migrate?: Partial<Config['migrate']>;
}

function planOf({ facts = {}, assets = {}, migrate = {} }: Changes = {}): PlanResult {
  const { runtime } = pcAssets();
  if (runtime === undefined) throw new Error('the fixture has no runtime');
  return makePlan({
    config: pcConfig((config) => ({ ...config, migrate: { ...config.migrate, ...migrate } })),
    facts: pcFacts(facts),
    assets: pcAssets({ runtime: { ...runtime, files: [...runtime.files, loader] }, ...assets }),
    devices: [pc],
    toolVersion: '1.0.0',
  });
}

function made({ plan, findings }: PlanResult): Plan {
  if (plan === undefined) throw new Error(JSON.stringify(findings));
  return plan;
}

const ids = (steps: Plan['stage1']): readonly string[] => steps.map(({ id }) => id);

describe('a PC with room behind the image', () => {
  it('gets grade A', () => {
    const plan = made(planOf());
    expect([plan.grade, plan.gradeReason]).toEqual(['A', undefined]);
  });

  it('has its lifeboat complete before it is armed', () => {
    const stage1 = ids(made(planOf()).stage1);
    expect(stage1.slice(stage1.indexOf('write-plan'))).toEqual([
      'write-plan',
      'build-initramfs',
      'pack-payload',
      'make-lifeboat',
      'write-grub-entry',
      'arm-grub',
    ]);
  });

  it('has the image outside of the volume, which wants one piece of the disk', () => {
    const make = made(planOf()).stage1.find((step) => step.kind === 'make-lifeboat');
    expect(make?.data.map(({ path }) => path)).toEqual(['image']);
    expect(make?.files.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['vmlinuz', 'stage2.img', 'payload.img']),
    );
    expect(make?.files.map(({ path }) => path)).not.toContain('image');
  });

  it('is switched to it before anything else is written, and leaves it after the commit', () => {
    const plan = made(planOf());
    expect(plan.pointOfNoReturn).toBe('switch-to-lifeboat');
    const stage2 = ids(plan.stage2);
    expect(stage2.indexOf('prove-lifeboat')).toBeLessThan(stage2.indexOf('switch-to-lifeboat'));
    expect(stage2.slice(stage2.indexOf('switch-to-lifeboat'))).toEqual([
      'switch-to-lifeboat',
      'flash-image',
      'verify-image',
      'configure-image',
      'commit-image',
      'leave-lifeboat',
    ]);
    expect(plan.stage2.find(({ kind }) => kind === 'flash-image')).toMatchObject({ keepsTables: true });
  });

  it('needs no memory for the image', () => {
    const image = pcImage({ fileBytes: 900 * mebibyte });
    expect(planOf({ assets: { image }, migrate: { staging: 'ram' } }).findings).toContainEqual(
      expect.objectContaining({ code: 'memory-too-small' }),
    );
    expect(made(planOf({ assets: { image } })).memory.needed.map(({ what }) => what)).not.toContain(
      'image and configuration',
    );
  });

  it('with UEFI, is found by the firmware after the new system and before the old one', () => {
    const plan = made(planOf({ facts: { firmware: uefi, disks: [gptDisk] } }));
    const entries = plan.stage2.filter(({ kind }) => kind === 'set-uefi-boot-entry');
    // Each is put before those that are there.
    expect(entries).toMatchObject([
      { description: 'balena migrate lifeboat' },
      { description: 'balenaOS', partitionLabel: 'resin-boot' },
    ]);
    expect(plan.stage2.at(-1)).toMatchObject({ kind: 'leave-lifeboat', bootEntry: 'balena migrate lifeboat' });
  });

  it('looks at a GPT only where that switches', () => {
    const menuOf = (facts: Partial<Facts>): string => {
      const make = made(planOf({ facts })).stage1.find((step) => step.kind === 'make-lifeboat');
      const menu = make?.files.find(({ path }) => path === 'grub/grub.cfg');
      return menu !== undefined && 'text' in menu ? menu.text : '';
    };
    expect(menuOf({ firmware: uefi, disks: [gptDisk] })).toMatch(/^linux .* 'migrate\.lifeboat' 'gpt'$/m);
    expect(menuOf({})).toMatch(/^linux .* 'migrate\.lifeboat'$/m);
  });

  it('rehearses without a switch', () => {
    const { runtime } = pcAssets();
    const config = { ...pcConfig(), debug: { noFlash: true } };
    const files = [...(runtime?.files ?? []), loader];
    const assets = pcAssets({ runtime: { directory: '/opt/migrate', files } });
    const plan = made(makePlan({ config, facts: pcFacts(), assets, devices: [pc], toolVersion: '1.0.0' }));
    expect(ids(plan.stage2)).not.toContain('switch-to-lifeboat');
    expect(ids(plan.stage2)).toContain('prove-lifeboat');
  });
});

/** Of the root file system, with room for what stage 1 prepares and no more. */
const fullPlaces = pcFacts().places.map((place) => ({ ...place, availableBytes: 210 * mebibyte }));
const bootFilesWith = (variables: string): Facts['bootFiles'] =>
  pcFacts().bootFiles.map((file) =>
    file.path.endsWith('grubenv')
      ? { ...file, text: `# GRUB Environment Block\n${variables}`.padEnd(1024, '#') }
      : file,
  );
const tightDisk: Disk = {
  ...pcDisk,
  partitions: pcDisk.partitions.map((partition) => ({ ...partition, sizeBytes: 560 * mebibyte })),
};
const diskWithBoot: Disk = {
  ...pcDisk,
  partitions: pcDisk.partitions.flatMap((partition) => [
    {
      ...partition,
      name: 'sda2',
      path: '/dev/sda2',
      device: '8:2',
      number: 2,
      sizeBytes: 500 * mebibyte,
      fileSystem: { type: 'ext4', uuid: '22222222-2222-3333-4444-555555555555', label: 'boot' },
    },
    { ...partition, startByte: 501 * mebibyte, sizeBytes: 3595 * mebibyte },
  ]),
};
const mountsWithBoot: Facts['mounts'] = pcFacts().mounts.flatMap((mount) => [
  mount,
  { ...mount, device: '8:2', source: '/dev/sda2', target: '/boot' },
]);

describe('a PC whose old file system is full', () => {
  const plan = (changes: Changes = {}): Plan =>
    made(planOf({ ...changes, facts: { places: fullPlaces, ...changes.facts } }));

  it('gets grade A, for stage 2 makes the lifeboat, and the plan says why', () => {
    const { grade, gradeReason, lateLifeboatReason } = plan();
    expect([grade, gradeReason]).toEqual(['A', undefined]);
    expect(lateLifeboatReason).toMatch(/has less than \d+ MiB free for a lifeboat/);
  });

  it('so does one whose operator asks for it', () => {
    expect(made(planOf({ migrate: { staging: 'late-lifeboat' } })).lateLifeboatReason).toBe(
      'migrate.staging asks for it',
    );
  });

  it('has all that it is made from before it is armed', () => {
    const stage1 = ids(plan().stage1);
    expect(stage1.slice(stage1.indexOf('write-plan'))).toEqual([
      'write-plan',
      'build-initramfs',
      'pack-payload',
      'copy-loaders',
      'seal-lifeboat',
      'write-grub-entry',
      'arm-grub',
    ]);
  });

  it('seals all that stage 2 makes it of, and what that is proven by', () => {
    const { stage1, stage2 } = plan();
    const seal = stage1.find((step) => step.kind === 'seal-lifeboat');
    const find = stage2.find((step) => step.kind === 'find-lifeboat-place');
    const parts = find?.files.flatMap((file) => ('from' in file ? [file.from] : [])) ?? [];
    const loaders = find?.way.kind === 'mbr' ? [find.way.bootImage, find.way.coreImage] : [];
    expect(seal?.sources.map(({ path }) => path).sort()).toEqual([...parts, ...loaders].sort());
    expect(seal?.sources).toContainEqual({
      path: '/var/lib/balena-migrate/payload/payload.img',
      from: '/var/lib/balena-migrate/payload/payload.img',
    });
    expect(find?.sealPath).toBe(seal?.path);
  });

  it('has everything proven before the old system is given up, and the lifeboat whole before the switch', () => {
    const { stage2, pointOfNoReturn } = plan();
    expect(pointOfNoReturn).toBe('rearm-grub');
    expect(ids(stage2)).toEqual([
      'confirm-one-shot',
      'load-payload',
      'prove-image',
      'release-target',
      'find-lifeboat-place',
      'rearm-grub',
      'write-lifeboat',
      'switch-to-lifeboat',
      'flash-image',
      'verify-image',
      'configure-image',
      'commit-image',
      'leave-lifeboat',
    ]);
  });

  it('with UEFI, has its boot entries before the old system is given up, and the old GRUB below them', () => {
    const { stage1, stage2, grade } = plan({ facts: { firmware: uefi, disks: [gptDisk] } });
    expect(grade).toBe('A');
    const menu = stage1.find((step) => step.kind === 'write-file');
    const always = menu?.text.slice(menu.text.indexOf('migrate_always'));
    expect(always).toMatch(/^ {2}insmod part_gpt$/m);
    const kinds = stage2.map(({ kind }) => kind);
    expect(kinds.slice(kinds.indexOf('find-lifeboat-place'), kinds.indexOf('flash-image'))).toEqual([
      'find-lifeboat-place',
      // Firmware passes over them until there are the partitions that they name.
      'set-uefi-boot-entry',
      'set-uefi-boot-entry',
      'rearm-grub',
      'write-lifeboat',
      'switch-to-lifeboat',
    ]);
  });

  it('takes the image from where it lies, and needs no memory for it', () => {
    const { stage2, memory } = plan({ assets: { image: pcImage({ fileBytes: 900 * mebibyte }) } });
    expect(stage2.find(({ kind }) => kind === 'prove-image')).toMatchObject({ pathInFileSystem: '/root/image.img.gz' });
    const load = stage2.find((step) => step.kind === 'load-payload');
    expect(load?.files.map(({ name }) => name)).not.toContain('image');
    expect(memory.needed.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(500 * mebibyte);
  });

  it('keeps what boots it, the payload, the image and what the menu names', () => {
    const font = { path: '/boot/grub/grub.cfg', sizeBytes: 1, mode: 0o600 };
    const bootFiles = pcFacts().bootFiles.map((file) =>
      file.path === font.path ? { ...file, text: `${file.text}loadfont "/usr/share/grub/unicode.pf2"\n` } : file,
    );
    const find = plan({ facts: { bootFiles } }).stage2.find((step) => step.kind === 'find-lifeboat-place');
    expect(find?.keeps.required).toEqual([
      '/var/lib/balena-migrate',
      '/root/image.img.gz',
      '/boot/vmlinuz-6.1.0-50-amd64',
      '/boot/balena-migrate/stage2.img',
      '/boot',
    ]);
    expect(find?.keeps.optional).toContain('/usr/share/grub/unicode.pf2');
  });

  it('starts stage 2 by its menu before all else once the variable is set, and counts', () => {
    const entry = plan().stage1.find((step) => step.kind === 'write-file');
    const rearm = plan().stage2.find((step) => step.kind === 'rearm-grub');
    const always = entry?.text.slice(entry.text.indexOf('}\n') + 2);
    expect(always).toMatchInlineSnapshot(`
      "if [ "\${migrate_always}" = 'balena-migrate-aaaaaaaaaaaa' ]; then
        if [ "\${migrate_starts}" != xxxx ]; then
          set migrate_counted="x\${migrate_starts}"
          set migrate_starts="\${migrate_counted}"
          save_env migrate_starts
          set migrate_starts=
          load_env migrate_starts
          if [ "\${migrate_starts}" != "\${migrate_counted}" ]; then
            set migrate_starts=xxxx
          fi
        fi
        insmod part_msdos
        insmod ext2
        search --no-floppy --fs-uuid --set=root 11111111-2222-3333-4444-555555555555
        linux '/boot/vmlinuz-6.1.0-50-amd64' 'rdinit=/migrate/init' 'rootfstype=ramfs' 'panic=10' 'console=tty0' 'console=ttyS0,115200' migrate.starts="\${migrate_starts}"
        initrd '/boot/balena-migrate/stage2.img'
        boot
        sleep 30
        reboot
      fi
      "
    `);
    expect(always).toContain(`"\${${rearm?.name}}" = '${rearm?.value}'`);
    const early = made(planOf()).stage1.find((step) => step.kind === 'write-file');
    expect(early?.text).not.toContain('migrate_always');
  });

  it('rehearses without giving the old system up', () => {
    const { runtime } = pcAssets();
    const config = { ...pcConfig(), debug: { noFlash: true } };
    const assets = pcAssets({ runtime: { directory: '/opt/migrate', files: [...(runtime?.files ?? []), loader] } });
    const facts = pcFacts({ places: fullPlaces });
    const { stage2 } = made(makePlan({ config, facts, assets, devices: [pc], toolVersion: '1.0.0' }));
    expect(ids(stage2).at(-1)).toBe('find-lifeboat-place');
  });
});

const otherDisk: Disk = { ...pcDisk, name: 'sdb', path: '/dev/sdb', device: '8:16', partitions: [], serial: 'DISK2' };
const smallPartition: Disk = {
  ...pcDisk,
  partitions: pcDisk.partitions.map((partition) => ({ ...partition, sizeBytes: 400 * mebibyte })),
};

const reasons: readonly (readonly [string, Changes, RegExp])[] = [
  ['the operator wants RAM', { migrate: { staging: 'ram' } }, /migrate.staging asks for RAM/],
  ['the bundle has no loader', { assets: { runtime: pcAssets().runtime } as Partial<Assets> }, /no boot loader/],
  [
    'the state directory lies elsewhere',
    { facts: { disks: [pcDisk, otherDisk] }, migrate: { forceFlashDevice: '/dev/sdb' } },
    /does not lie on the disk that is flashed/,
  ],
  [
    'too little lies behind the image',
    { facts: { disks: [smallPartition] } },
    /has less than the \d+ MiB of a lifeboat/,
  ],
  [
    'the file system is full, and no ext4',
    { facts: { places: fullPlaces, mounts: pcFacts().mounts.map((mount) => ({ ...mount, fileSystem: 'xfs' })) } },
    /has less than \d+ MiB free for a lifeboat .*, and stage 2 cannot make one: xfs does not tell/,
  ],
  [
    'it is full, and so is the environment block once GRUB has emptied next_entry in it',
    { facts: { places: fullPlaces, bootFiles: bootFilesWith(`saved_entry=${'x'.repeat(405)}\n`) } },
    /stage 2 cannot make one: \S+grubenv has too many variables/,
  ],
  [
    'it is full, and the environment block too',
    { facts: { places: fullPlaces, bootFiles: bootFilesWith(`saved_entry=${'x'.repeat(450)}\n`) } },
    /stage 2 cannot make one: \S+grubenv has too many variables/,
  ],
  [
    'it is full, and /boot lies on a file system of its own',
    { facts: { places: fullPlaces, disks: [diskWithBoot], mounts: mountsWithBoot } },
    /stage 2 cannot make one: .boot lies on a file system of its own/,
  ],
  [
    'it is full, and what has to stay may fill what lies behind the image',
    { facts: { places: fullPlaces, disks: [tightDisk] } },
    /of a lifeboat and of all that must stay/,
  ],
  ['UEFI starts from an MBR', { facts: { firmware: uefi } }, /on UEFI both the disk and the image need a GPT/],
  [
    'the UEFI has 32 bits',
    { facts: { firmware: { ...uefi, bits: 32 }, disks: [gptDisk] } },
    /no boot loader for 32-bit UEFI/,
  ],
];

describe('grade C', () => {
  it.each(reasons)('where %s, and says so', (_, changes, reason) => {
    const plan = made(planOf(changes));
    expect(plan.grade).toBe('C');
    expect(plan.gradeReason).toMatch(reason);
    expect(ids(plan.stage1)).not.toContain('make-lifeboat');
  });

  it.each([
    ['require_grade: A', { requireGrade: 'A' as const, staging: 'ram' as const }],
    ['require_grade: B', { requireGrade: 'B' as const, staging: 'ram' as const }],
  ])('is refused by %s', (_, migrate) => {
    expect(planOf({ migrate }).findings).toContainEqual(
      expect.objectContaining({ code: 'grade-too-low', where: 'migrate.require_grade' }),
    );
  });

  it('is refused where a lifeboat is asked for', () => {
    const { findings } = planOf({ facts: { disks: [smallPartition] }, migrate: { staging: 'lifeboat' } });
    expect(findings).toContainEqual(expect.objectContaining({ code: 'grade-too-low', where: 'migrate.staging' }));
  });

  it('is accepted by require_grade: C', () => {
    expect(made(planOf({ migrate: { requireGrade: 'C', staging: 'ram' } })).grade).toBe('C');
  });
});
