// What is refused or told, one change of a sound machine at a time.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { BootArea, BootFile, Disk, Facts, ListedFile } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { boardOf } from './boot-medium.ts';
import { beagleUboot } from './uboot.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');
const factsOf = (name: string): Facts => JSON.parse(readFileSync(join(machines, name, 'facts.json'), 'utf8')) as Facts;

/** The eMMC as one ext4, and the layout of 2013 with its own uenvcmd on FAT. */
const single = factsOf('beaglebone-black-debian-9');
const fat = factsOf('beaglebone-black-debian-7');
const card = factsOf('beagleboard-xm-debian-9');
const extlinux = factsOf('beaglebone-black-debian-12-extlinux');

const errors = (facts: Facts): readonly string[] =>
  beagleUboot.check(facts).flatMap(({ severity, code }) => (severity === 'error' ? [code] : []));
const warnings = (facts: Facts): readonly string[] =>
  beagleUboot.check(facts).flatMap(({ severity, code }) => (severity === 'warning' ? [code] : []));
const messages = (facts: Facts): string =>
  beagleUboot
    .check(facts)
    .map(({ where, message, hint }) => `${where}: ${message}. ${hint}`)
    .join('\n');

const listed = (path: string, sizeBytes = 100): ListedFile => ({ path, kind: 'file', sizeBytes });
const file = (path: string, text: string): BootFile => ({
  path,
  text,
  sizeBytes: Buffer.byteLength(text),
  mode: 0o644,
});

function withFile(facts: Facts, path: string, text: string): Facts {
  return {
    ...facts,
    bootFiles: [...facts.bootFiles.filter((each) => each.path !== path), file(path, text)],
    bootListing: [...(facts.bootListing ?? []).filter((each) => each.path !== path), listed(path, text.length)],
  };
}

function bootText(facts: Facts, path: string): string {
  return facts.bootFiles.find((each) => each.path === path)?.text ?? '';
}

function withoutListed(facts: Facts, pattern: RegExp): Facts {
  return { ...facts, bootListing: (facts.bootListing ?? []).filter(({ path }) => !pattern.test(path)) };
}

function withAreas(facts: Facts, change: (area: BootArea) => BootArea | undefined): Facts {
  return { ...facts, bootAreas: (facts.bootAreas ?? []).flatMap((area) => change(area) ?? []) };
}

/** A second medium in the machine, with one partition. */
function withMedium(facts: Facts, type: 'SD' | 'MMC', fileSystem?: string): Facts {
  const name = 'mmcblk5';
  const partition = {
    name: `${name}p1`,
    path: `/dev/${name}p1`,
    device: '179:81',
    number: 1,
    startByte: 4194304,
    sizeBytes: 1048576,
    holders: [],
    ...(fileSystem === undefined ? {} : { fileSystem: { type: fileSystem, uuid: 'AAAA-BBBB' } }),
  };
  const disk: Disk = {
    name,
    path: `/dev/${name}`,
    device: '179:80',
    sizeBytes: 8388608,
    logicalSectorSize: 512,
    isReadOnly: false,
    isRemovable: false,
    holders: [],
    partitions: [partition],
  };
  return {
    ...facts,
    disks: [...facts.disks, disk],
    bootFiles: [...facts.bootFiles, file(`/sys/block/${name}/device/type`, `${type}\n`)],
  };
}

function mountedAt(facts: Facts, target: string): Facts {
  const mount = { device: '179:81', source: '/dev/mmcblk5p1', target, fileSystem: 'vfat', root: '/', options: ['rw'] };
  return { ...facts, mounts: [...facts.mounts, mount] };
}

describe('the board', () => {
  const named = (deviceTreeModel: string): Facts => ({ ...single, hardware: { deviceTreeModel } });

  it('is known by its device tree', () => {
    expect(boardOf(named('TI AM335x BeagleBone Black Wireless'))?.name).toBe('beaglebone-black-wireless');
    expect(boardOf(named('TI AM335x BeagleBone Green'))?.name).toBe('beaglebone-green');
    expect(boardOf(named('TI OMAP3 BeagleBoard xM'))?.name).toBe('beagleboard-xm');
    expect(boardOf(named('TI OMAP3 BeagleBoard'))).toBeUndefined();
    expect(boardOf(named('TI AM335x BeagleBone Blue'))).toBeUndefined();
    expect(boardOf(named('TI AM335x PocketBeagle'))).toBeUndefined();
  });

  it('is known by its EEPROM where the device tree says no more than BeagleBone', () => {
    const eeprom = (facts: Facts, text: string): Facts =>
      withAreas(facts, (area) =>
        area.path.includes('0-0050')
          ? { ...area, contents: Buffer.from(`\xaaU3\xee${text}`, 'latin1').toString('base64') }
          : area,
      );
    const ambiguous = named('TI AM335x BeagleBone');
    expect(boardOf(eeprom(ambiguous, 'A335BNLT00C00913BBBK0000'))?.name).toBe('beaglebone-black');
    expect(boardOf(eeprom(ambiguous, 'A335BNLTBBG10913BBBK0000'))?.name).toBe('beaglebone-green');
    expect(boardOf(eeprom(ambiguous, 'A335BNLTGW1A0913BBBK0000'))?.name).toBe('beaglebone-green-wireless');
    expect(boardOf(eeprom(ambiguous, 'A335BONE00A60913BBBK0000'))).toBeUndefined();
    expect(boardOf(withAreas(ambiguous, (area) => (area.path.includes('0-0050') ? undefined : area)))).toBeUndefined();
    expect(errors(eeprom(ambiguous, 'A335BONE00A6'))).toEqual(['beagle-board']);
  });
});

describe('the medium', () => {
  it('is the card or the eMMC', () => {
    expect(errors(single)).toEqual([]);
    const unknown = { ...single, bootFiles: single.bootFiles.filter(({ path }) => !path.endsWith('/device/type')) };
    expect(errors(unknown)).toEqual(['beagle-medium']);
    expect(errors({ ...single, mounts: [] })).toEqual(['beagle-medium']);
  });

  it('is the eMMC only where no card comes first', () => {
    expect(errors(withMedium(single, 'SD'))).toEqual([]);
    expect(errors(withMedium(single, 'SD', 'vfat'))).toEqual(['beagle-card-first']);
    const seen = mountedAt(withMedium(single, 'SD', 'vfat'), '/media/card');
    expect(errors(seen)).toEqual([]);
    for (const name of ['uEnv.txt', 'boot/uEnv.txt', 'extlinux/extlinux.conf', 'boot.scr']) {
      const text = messages(withFile(seen, `/media/card/${name}`, ''));
      expect(text).toContain(`/media/card/${name}: U-Boot looks at the card /dev/mmcblk5 before the eMMC`);
      expect(text).toContain('Take the card out');
    }
  });

  it('is not certain beside one of its own kind, or of none that is known', () => {
    expect(errors(withMedium(single, 'MMC', 'ext4'))).toEqual(['beagle-medium']);
    expect(errors(withMedium(card, 'SD'))).toEqual(['beagle-medium']);
    const unknown = withMedium(single, 'SD');
    const nameless = unknown.bootFiles.filter(({ path }) => !path.includes('mmcblk5'));
    expect(errors({ ...unknown, bootFiles: nameless })).toEqual(['beagle-medium']);
  });

  it('is the card only where the eMMC has no loader', () => {
    const twoMedia = withMedium({ ...single, ...onCard() }, 'MMC', 'ext4');
    const loaders = [0, 0x20000, 0x40000].map((startByte) => ({ path: '/dev/mmcblk5', startByte, sizeBytes: 512 }));
    const blank = { ...twoMedia, bootAreas: [...(twoMedia.bootAreas ?? []), ...loaders] };
    expect(errors(blank)).toEqual([]);
    expect(errors(twoMedia)).toEqual(['beagle-emmc-loader']);
    const toc = Buffer.alloc(512);
    toc.write('CHSETTINGS', 0x14);
    const contents = toc.toString('base64');
    const loaded = withAreas(blank, (area) => (area.path === '/dev/mmcblk5' ? { ...area, contents } : area));
    expect(errors(loaded)).toEqual(['beagle-emmc-loader']);
  });

  function onCard(): Pick<Facts, 'bootFiles'> {
    return {
      bootFiles: single.bootFiles.map((each) => (each.path.endsWith('/type') ? file(each.path, 'SD\n') : each)),
    };
  }
});

describe('the way that starts the old system', () => {
  it('is uEnv.txt or extlinux.conf, and nothing else', () => {
    expect(errors(withFile(single, '/boot/boot.scr', ''))).toEqual(['beagle-script']);
    expect(errors(withoutListed(single, /uEnv/))).toEqual(['beagle-flow']);
  });

  it('is extlinux.conf only where a boot.scr surely comes before it', () => {
    expect(errors(extlinux)).toEqual([]);
    expect(warnings(extlinux)).toContain('beagle-extlinux');
    const inRoot = withFile(extlinux, '/extlinux/extlinux.conf', 'label Other\nkernel /vmlinuz\n');
    expect(errors(inRoot)).toEqual(['beagle-extlinux']);
    expect(messages(inRoot)).toMatch(/\("Other"\), before.*move its directory to \/boot\/extlinux,/);
    for (const name of ['/boot.scr', '/boot.scr.uimg', '/uEnv.txt']) {
      const taken = withFile(extlinux, name, '');
      expect(errors(taken)).toEqual(['beagle-extlinux']);
      expect(messages(taken)).toContain(`${name}: it lies beside /boot/extlinux/extlinux.conf`);
    }
  });

  it('is extlinux.conf only on the partition that U-Boot looks at', () => {
    const marked = (...active: readonly number[]): Facts =>
      withAreas(extlinux, (area) => {
        if (area.startByte !== 0 || !area.path.startsWith('/dev/')) return area;
        const bytes = Buffer.from(area.contents ?? '', 'base64');
        for (const number of [1, 2, 3, 4]) bytes[446 + (number - 1) * 16] = active.includes(number) ? 0x80 : 0;
        return { ...area, contents: bytes.toString('base64') };
      });
    for (const active of [[], [1], [1, 2]]) expect(errors(marked(...active))).toEqual([]);
    expect(errors(marked(2))).toEqual(['beagle-extlinux']);
    expect(messages(marked(2, 3))).toContain('its partition 2 is marked as bootable');
    const gpt = extlinux.disks.map((disk) => ({ ...disk, table: { kind: 'gpt', id: 'x' } as const }));
    expect(errors({ ...extlinux, disks: gpt })).toEqual(['beagle-extlinux']);
  });

  it('is asked for its device tree and its overlays in extlinux.conf too', () => {
    const conf = '/boot/extlinux/extlinux.conf';
    const text = bootText(extlinux, conf);
    const withLine = (line: string): Facts => withFile(extlinux, conf, text.replace(/^\tfdtdir .*$/m, line));
    expect(errors(withLine('\tfdt /boot/dtbs/am335x-boneblack.dtb'))).toEqual([]);
    expect(errors(withLine('\tfdt /boot/mine.dtb'))).toEqual(['beagle-custom-device-tree']);
    expect(warnings(withLine('\tfdtoverlays /boot/cape.dtbo'))).toContain('beagle-overlays');
  });

  it('starts from a first partition that can be written to', () => {
    const [root, boot] = fat.mounts;
    if (root === undefined || boot === undefined) throw new Error('the machine has changed');
    expect(errors({ ...fat, mounts: [root] })).toContain('beagle-first-partition');
    expect(errors({ ...fat, mounts: [root, { ...boot, options: ['ro'] }] })).toEqual(['boot-read-only']);
    expect(errors({ ...fat, mounts: [root, { ...boot, root: '/sub' }] })).toContain('beagle-first-partition');
  });
});

describe('kernel and device tree', () => {
  it('are those that run, where U-Boot can read them', () => {
    const { image: _image, ...kernel } = single.kernel;
    expect(errors({ ...single, kernel })).toEqual(['beagle-kernel']);
    const notZimage = withAreas(single, ({ contents, ...area }) =>
      area.path.startsWith('/boot/') || contents === undefined ? area : { ...area, contents },
    );
    expect(errors(notZimage)).toEqual(['beagle-kernel']);
    expect(errors(withoutListed(single, /\.dtb$/))).toEqual(['beagle-device-tree']);
    expect(
      errors({ ...single, bootListing: (single.bootListing ?? []).map((each) => ({ ...each, sizeBytes: 0 })) }),
    ).toEqual(['beagle-device-tree']);
  });

  it('are taken from FAT only where the kernel beside it is the running one', () => {
    expect(errors(fat)).toEqual([]);
    const other = (fat.bootListing ?? []).map((each) =>
      each.path.endsWith('zImage') ? { ...each, sizeBytes: 5 } : each,
    );
    expect(errors({ ...fat, bootListing: other })).toEqual(['beagle-device-tree']);
  });

  it('are the plain ones: no device tree of somebody else, no capes', () => {
    const custom = withFile(single, '/boot/uEnv.txt', 'uname_r=1\ndtb=am335x-boneblack-uboot-univ.dtb\n');
    expect(errors(custom)).toEqual(['beagle-custom-device-tree']);
    expect(errors(withFile(single, '/boot/uEnv.txt', 'uname_r=1\ndtb=am335x-boneblack.dtb\n'))).toEqual([]);
    expect(warnings(single)).toContain('beagle-overlays');
    expect(warnings(fat)).not.toContain('beagle-overlays');
  });

  it('have modules that fit', () => {
    const needed = [{ name: 'large', path: '/x', sizeBytes: 49 * 1024 * 1024 }];
    expect(errors({ ...single, modules: { needed, missing: [] } })).toEqual(['beagle-initramfs-large']);
  });
});

describe('the hook', () => {
  const path = '/boot/uboot/uEnv.txt';
  const text = fat.bootFiles.find((each) => each.path === path)?.text ?? '';

  it('has room beside an old uenvcmd on FAT, or says what to add', () => {
    const noComments = text.replace(/^#.*\n/gm, '');
    const refused = beagleUboot.check(withFile(fat, path, noComments)).filter(({ severity }) => severity === 'error');
    expect(refused.map(({ code }) => code)).toEqual(['beagle-environment-room']);
    const [, count = '0', line = ''] = /Add (\d+) lines of "(#+)"/.exec(refused[0]?.hint ?? '') ?? [];
    const cured = noComments.replace('uenvcmd=', `${`${line}\n`.repeat(Number(count))}uenvcmd=`);
    expect(errors(withFile(fat, path, cured))).toEqual([]);
  });

  it('has room at the end of a file without an uenvcmd, where the hint is followed', () => {
    const bare = `optargs=quiet\nlong=${'x'.repeat(400)}\n`;
    const refused = beagleUboot.check(withFile(fat, path, bare)).filter(({ severity }) => severity === 'error');
    expect(refused.map(({ code }) => code)).toEqual(['beagle-environment-room']);
    const [, count = '0', line = ''] = /Add (\d+) lines of "(#+)"/.exec(refused[0]?.hint ?? '') ?? [];
    expect(errors(withFile(fat, path, `${bare}${`${line}\n`.repeat(Number(count))}`))).toEqual([]);
  });

  it('is not put where one is, or where the file is not understood', () => {
    expect(errors(withFile(fat, path, `${text}uenvcmd=run bmhook\nbmhook=true\n`))).toEqual(['beagle-environment']);
    expect(errors(withFile(fat, path, `${text}\0`))).toEqual(['beagle-environment']);
    expect(errors(withFile(single, '/uEnv.txt', 'a=1\n=2\n'))).toEqual(['beagle-environment']);
    expect(errors(withFile(fat, path, `${text}uenvcmd=${'a '.repeat(20)}\n`))).toEqual(['beagle-environment']);
  });
});

describe('the flag', () => {
  const isFlag = (area: BootArea): boolean => area.sizeBytes === 4096;
  const inUse = (facts: Facts): Facts =>
    withAreas(facts, (area) => (isFlag(area) ? { ...area, contents: Buffer.alloc(4096, 1).toString('base64') } : area));

  it('needs a free sector where there is no FAT', () => {
    expect(errors(inUse(single))).toEqual(['beagle-no-flag']);
    expect(errors(withAreas(single, (area) => (isFlag(area) ? undefined : area)))).toEqual(['beagle-no-flag']);
    expect(errors(withAreas(single, (area) => (area.startByte === 0x20000 ? undefined : area)))).toEqual([
      'beagle-no-flag',
    ]);
  });

  it('needs a U-Boot that says where it ends, before the flag', () => {
    const uboot = (bytes: Buffer): Facts =>
      withAreas(single, (area) =>
        area.startByte === 0x60000 ? { ...area, contents: bytes.toString('base64') } : area,
      );
    const header = Buffer.alloc(8192);
    header.writeUInt32BE(0x27051956, 0);
    header.writeUInt32BE(4063232 - 0x60000 - 64, 12);
    expect(errors(uboot(header))).toEqual([]);
    header.writeUInt32BE(4063232 - 0x60000 - 63, 12);
    expect(errors(uboot(header))).toEqual(['beagle-no-flag']);
    expect(messages(uboot(header))).toContain('U-Boot reaches up to it');
    expect(errors(uboot(Buffer.alloc(8192, 0x55)))).toEqual(['beagle-no-flag']);
  });

  it('may be a file on FAT instead, if nobody has one of that name', () => {
    expect(errors(inUse(card))).toEqual([]);
    const taken = { ...inUse(card), bootListing: [...(card.bootListing ?? []), listed('/boot/uboot/bmigrate.flg')] };
    expect(errors(taken)).toEqual(['beagle-no-flag']);
  });
});

describe('the watchdog', () => {
  it('is spoken of where U-Boot is not known to be too old for it', () => {
    expect(warnings(single)).toContain('beagle-watchdog');
    expect(warnings(factsOf('beaglebone-black-debian-8'))).not.toContain('beagle-watchdog');
    expect(warnings(card)).toContain('beagle-watchdog');
  });
});

describe('the kernel arguments', () => {
  const boot = (commandLine: readonly string[]) =>
    beagleUboot.bootOnce(
      { entryId: 'x', kernelPath: '', initramfsPath: '/boot/balena-migrate/stage2.img', commandLine },
      single,
    );

  it('pass through U-Boot as they are', () => {
    const [script] = boot(['a=$b;c', 'd="e f"']);
    expect(script?.kind === 'write-file' && script.text).toContain(`bmargs=setenv bootargs 'a=$b;c d="e f"'\n`);
  });

  it('are refused where U-Boot would change them', () => {
    for (const word of ["it's", 'a\\b', 'ü', 'x'.repeat(1024)]) expect(() => boot([word])).toThrow(/kernel_opts/);
  });
});
