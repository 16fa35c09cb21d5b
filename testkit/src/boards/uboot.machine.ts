// What a migration writes for U-Boot, tried at a real one; and the flow of the boards' own images, as far as it decides.

import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { UbootFlag } from '@migrate/core';
import {
  distroMedium,
  environmentMedium,
  flagMagic,
  hookLines,
  type MediumVariables,
  scriptText,
  startScript,
} from '@migrate/device-beagle';
import { execa } from 'execa';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type BeagleOptions, startEmulatedBeagle } from './beagle-emulator.ts';
import { romEnvironment, vendorEnvironment } from './beagle-environment.ts';
import { deviceTree, loader, rawBootLoader, ubootImage } from './beagle-firmware.ts';
import { beagleRoot } from './beagle-old-systems.ts';
import { makeSmallDisk, type SmallDisk, type SmallPartition } from './uboot-disk.ts';
import { ubootPrompt } from './uboot-prompt.ts';

let directory: string;
let zImage: Buffer;
let board: Buffer;
beforeAll(async () => {
  const { root, release } = await beagleRoot();
  zImage = await readFile(join(root, `boot/vmlinuz-${release}`));
  board = await readFile(await deviceTree('beaglebone-black'));
});
beforeEach(async () => {
  if (directory !== undefined) await rm(directory, { recursive: true });
  directory = await mkdtemp(join(tmpdir(), 'migrate-uboot-'));
});
afterAll(() => rm(directory, { recursive: true }));

/** A disk of this test, raw, to be looked at between starts. */
async function disk(name: string, contents: SmallDisk): Promise<string> {
  const path = join(directory, name);
  await makeSmallDisk(path, contents);
  return path;
}

interface Media {
  readonly sd?: string;
  readonly emmc?: string;
}

/** What U-Boot prints from power-on until nothing is left to start; a board that resets is caught at its second start. */
async function start(media: Media, options: Partial<BeagleOptions> = {}): Promise<string> {
  const machine = await startEmulatedBeagle({ ...media, firmware: bareVendor, format: 'raw', ...options });
  try {
    await machine.waitFor(/=> |resetting|\n.*FAILSAFE/, { timeoutMs: 60_000 });
    return machine.log().replaceAll('\r', '');
  } finally {
    await machine.kill();
  }
}

/** The vendor's U-Boot at once, without the ROM. */
const bareVendor = { ...vendorEnvironment('beaglebone-black'), bootdelay: '-2', preboot: 'virtio scan' };

describe("the vendor's flow", () => {
  const says = (text: string): SmallDisk => ({
    firstSector: 8192,
    partitions: [{ fileSystem: 'ext4', files: { 'uEnv.txt': text } }],
  });

  it('runs uenvcmd of /uEnv.txt and goes on after it; one in /boot/uEnv.txt is never run', async () => {
    const files = { 'uEnv.txt': 'uenvcmd=echo FIRST\n', 'boot/uEnv.txt': 'uenvcmd=echo SECOND\n' };
    const emmc = await disk('emmc', { firstSector: 8192, partitions: [{ fileSystem: 'ext4', files }] });
    const log = await start({ emmc });
    expect(log).toMatch(
      /Running uenvcmd \.\.\.\nFIRST\nChecking for: \/boot\/uEnv\.txt.*Loaded environment from \/boot/s,
    );
    expect(log).not.toContain('SECOND');
  });

  it('passes over a uenvcmd of more words than a command may have', async () => {
    const words = Array.from({ length: 16 }, (_, index) => `w${index}`).join(' ');
    const log = await start({ emmc: await disk('emmc', says(`uenvcmd=echo RUN ${words}\n`)) });
    expect(log).toContain('Checking if uenvcmd is set');
    expect(log).not.toMatch(/Running uenvcmd|\nRUN/);
  });

  it('reads the card before the eMMC, also where U-Boot comes from the eMMC', async () => {
    const raw = await rawBootLoader({ ...vendorEnvironment('beaglebone-black') });
    const emmc = await disk('emmc', { ...says('uenvcmd=echo FROM-EMMC\n'), raw });
    const sd = await disk('sd', says('uenvcmd=echo FROM-CARD\n'));
    const log = await start({ sd, emmc }, { firmware: romEnvironment([1, 0]) });
    expect(log).toMatch(/ROM: raw loader of 1\n.*FROM-CARD.*FROM-EMMC/s);
  });

  it('comes from a raw loader before one on FAT', async () => {
    const says = (text: string) => ({ bootcmd: `echo ${text}` });
    const files = { MLO: loader(), 'u-boot.img': await ubootImage(says('FROM-FAT')) };
    const partitions: SmallPartition[] = [{ fileSystem: 'vfat', files }];
    const both = { firstSector: 8192, partitions, raw: await rawBootLoader(says('FROM-RAW')) };
    expect(await start({ emmc: await disk('both', both) }, { firmware: romEnvironment([1]) })).toMatch(
      /FROM-RAW.*FROM-FAT/s,
    );
    const fat = await start(
      { emmc: await disk('fat', { firstSector: 8192, partitions }) },
      { firmware: romEnvironment([1]) },
    );
    expect(fat).not.toContain('raw loader');
    expect(fat).toContain('FROM-FAT');
  });
});

const starting = 'Starting stage 2 of migrate';
const flagOffset = 0x3e0000;
const gapFlag: UbootFlag = { place: 'gap', disk: { sizeBytes: 0 }, offsetBytes: flagOffset } as UbootFlag;
const fileFlag: UbootFlag = { place: 'file', uuid: '0000-0000', fileSystem: 'vfat', path: '/bmigrate.flg' };
const flagSector = Buffer.concat([flagMagic, Buffer.alloc(508)]);

function scriptFor(flag: UbootFlag, medium: MediumVariables): string {
  return scriptText({
    medium,
    flag,
    kernel: { partition: 1, path: '/zImage' },
    deviceTree: { partition: 1, path: '/board.dtb' },
    initramfs: { partition: 1, path: '/stage2.img' },
    commandLine: ['console=ttyAMA0', 'panic=5'],
  });
}

/** Partition 1 as stage 1 leaves it; `files` come on top. */
function armed(
  fileSystem: 'ext4' | 'vfat',
  flag: UbootFlag,
  files: Record<string, string | Uint8Array | undefined> = {},
): SmallDisk {
  const all = {
    'balena-migrate/uEnv.txt': scriptFor(flag, environmentMedium),
    'uEnv.txt': hookLines('/balena-migrate/uEnv.txt', false),
    zImage,
    'board.dtb': board,
    'stage2.img': Buffer.alloc(4096, 'x'),
    ...(flag.place === 'file' ? { 'bmigrate.flg': flagSector } : {}),
    ...files,
  };
  return {
    firstSector: 8192,
    partitions: [{ fileSystem, files: all }],
    raw: flag.place === 'gap' ? new Map([[flagOffset, flagSector]]) : new Map(),
  };
}

async function flagIn(path: string, flag: UbootFlag): Promise<Buffer> {
  if (flag.place === 'gap') return (await readFile(path)).subarray(flagOffset, flagOffset + 512);
  const { stdout } = await execa('mtype', ['-i', `${path}@@4M`, '::bmigrate.flg'], { encoding: 'buffer' });
  return Buffer.from(stdout);
}

/** Stage 1's files with a kernel that U-Boot loads but cannot start, so that the flow goes on. */
const unstartable = { zImage: Buffer.alloc(4096, 'k') };

describe.each([
  ['a sector before partition 1', 'ext4', gapFlag],
  ['a sector before a FAT', 'vfat', gapFlag],
  ['a file on FAT', 'vfat', fileFlag],
] as const)('a stage 2 that is armed by %s', (_name, fileSystem, flag) => {
  it('is started once, and nothing but the flag is written', async () => {
    const emmc = await disk('emmc', armed(fileSystem, flag, unstartable));
    const before = await readFile(emmc);
    const first = await start({ emmc });
    expect(first).toContain(`${starting}\n`);
    expect(first).toMatch(/Bad magic.*Checking for: \/boot\/uEnv\.txt/s);
    expect(await flagIn(emmc, flag)).toEqual(Buffer.alloc(512));
    const after = await readFile(emmc);
    if (flag.place === 'gap') expect(sectorsThatDiffer(before, after)).toEqual([flagOffset / 512]);
    else await checkFat(emmc, before);
    const second = await start({ emmc });
    expect(second).toContain('Running uenvcmd');
    expect(second).not.toContain(starting);
    expect(sectorsThatDiffer(after, await readFile(emmc))).toEqual([]);
  });

  it('is not started where the medium does not take that the flag is cleared', async () => {
    const emmc = await disk('emmc', armed(fileSystem, flag, unstartable));
    const log = await start({ emmc }, { isReadOnly: true });
    expect(log).toContain('Running uenvcmd');
    expect(log).not.toContain(starting);
    expect(log).toContain('Checking for: /boot/uEnv.txt');
  });
});

describe('a stage 2 that U-Boot fails to start', () => {
  it.each(['zImage', 'board.dtb', 'stage2.img', 'balena-migrate/uEnv.txt'])(
    'gives way to the old flow without %s',
    async (name) => {
      const emmc = await disk('emmc', armed('ext4', gapFlag, { ...unstartable, [name]: undefined }));
      expect(await start({ emmc })).toMatch(/Running uenvcmd.*Checking for: \/boot\/uEnv\.txt/s);
    },
  );

  it('resets the board where the device tree is damaged, and is not started again', async () => {
    // With a header that holds, and nothing behind it that does: such a bootz does not return.
    const damaged = Buffer.concat([board.subarray(0, 0x28), Buffer.alloc(board.length - 0x28, 0xff)]);
    const emmc = await disk('emmc', armed('ext4', gapFlag, { zImage, 'board.dtb': damaged }));
    const log = await start({ emmc });
    expect(log).toContain(`${starting}\n`);
    expect(log).toMatch(/resetting/);
    expect(await start({ emmc })).not.toContain(starting);
  });
});

describe('a stage 2 that is armed before extlinux.conf', () => {
  const conf = 'default l0\nlabel l0\n\tlinux /boot/old\n\tfdtdir /boot/\n\tappend root=/dev/mmcblk1p1 quiet\n';
  const script = '/boot/balena-migrate/uEnv.txt';
  /** An old system whose kernel U-Boot loads but cannot start. */
  const files = (kernel: Buffer): SmallPartition['files'] => ({
    'board.dtb': board,
    'stage2.img': Buffer.alloc(4096, 'x'),
    [script.slice(1)]: scriptFor(gapFlag, distroMedium),
    'boot.scr': startScript(script),
    'boot/extlinux/extlinux.conf': conf,
    'boot/old': Buffer.alloc(4096, 'o'),
    zImage: kernel,
  });
  const extlinuxDisk = (kernel: Buffer): SmallDisk => ({
    ...armed('ext4', gapFlag),
    partitions: [{ fileSystem: 'ext4', files: files(kernel) }],
  });

  it('is started once, and then extlinux.conf starts the old system', async () => {
    const emmc = await disk('emmc', extlinuxDisk(Buffer.alloc(4096, 'k')));
    const before = await readFile(emmc);
    const first = await start({ emmc });
    expect(first).toMatch(
      /Found U-Boot script \/boot\.scr\n.*Starting stage 2 of migrate\n.*Bad .*magic.*Found \/boot\/extlinux\/extlinux\.conf\n/s,
    );
    const after = await readFile(emmc);
    expect(sectorsThatDiffer(before, after)).toEqual([flagOffset / 512]);
    const second = await start({ emmc });
    expect(second).toMatch(
      /Found U-Boot script \/boot\.scr\n.*Found \/boot\/extlinux\/extlinux\.conf\n.*append: root=\/dev\/mmcblk1p1 quiet/s,
    );
    expect(second).not.toContain(starting);
    expect(sectorsThatDiffer(after, await readFile(emmc))).toEqual([]);
  });

  it('runs, where its kernel does, and is not started again by the reset that follows', async () => {
    const emmc = await disk('emmc', extlinuxDisk(zImage));
    const machine = await startEmulatedBeagle({ emmc, firmware: bareVendor, format: 'raw' });
    try {
      // There is nothing in its initramfs, so that the kernel panics, which resets the board.
      await machine.waitFor(/Starting kernel.*Found \/boot\/extlinux\/extlinux\.conf/s, { timeoutMs: 120_000 });
      expect(machine.log().split(starting)).toHaveLength(2);
    } finally {
      await machine.kill();
    }
  });
});

it('keeps an old uenvcmd, which goes on after the hook', async () => {
  const hook = hookLines('/balena-migrate/uEnv.txt', true);
  const environment = `uenvold=echo OLD-COMMAND\n${hook}`;
  const emmc = await disk('emmc', armed('ext4', gapFlag, { ...unstartable, 'uEnv.txt': environment }));
  expect(await start({ emmc })).toMatch(/Starting stage 2.*Bad magic.*OLD-COMMAND\n/s);
  const second = await start({ emmc });
  expect(second).toContain('OLD-COMMAND\n');
  expect(second).not.toContain(starting);
});

it('finds its medium where U-Boot knows no devtype', async () => {
  const emmc = await disk('emmc', armed('ext4', gapFlag, unstartable));
  const prompt = await ubootPrompt({ emmc, format: 'raw' });
  try {
    // What older U-Boots have; "mmc" is what the hook then says, and this U-Boot has no such device.
    await prompt.run('setenv loadaddr 0x82000000; setenv mmcdev 1; virtio scan; load virtio 1:1 ${loadaddr} /uEnv.txt');
    const printed = await prompt.run('env import -t ${loadaddr} ${filesize}; run uenvcmd; printenv bmdev');
    expect(printed).toContain('bmdev=mmc');
  } finally {
    await prompt.close();
  }
});

function sectorsThatDiffer(one: Buffer, other: Buffer): number[] {
  const sectors: number[] = [];
  for (let at = 0; at < one.length; at += 512)
    if (!one.subarray(at, at + 512).equals(other.subarray(at, at + 512))) sectors.push(at / 512);
  return sectors;
}

/** fsck.vfat finds nothing, and all files but the flag are what they were. */
async function checkFat(path: string, before: Buffer): Promise<void> {
  const old = join(directory, 'before');
  await writeFile(old, before);
  const fat = join(directory, 'fat');
  await execa('dd', [`if=${path}`, `of=${fat}`, 'bs=1M', 'skip=4', 'count=24', 'status=none']);
  await execa('fsck.vfat', ['-n', fat]);
  const list = async (image: string) => (await execa('mdir', ['-/', '-b', '-i', `${image}@@4M`, '::'])).stdout;
  expect(await list(path)).toBe(await list(old));
  for (const name of (await list(path))
    .split('\n')
    .filter((line) => !line.endsWith('/') && !line.includes('bmigrate'))) {
    const read = async (image: string) =>
      (await execa('mtype', ['-i', `${image}@@4M`, name], { encoding: 'buffer' })).stdout;
    expect(Buffer.compare(await read(path), await read(old)), name).toBe(0);
  }
}
