// Disks of emulated Beagles with the system that is to be migrated.
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { vendorEnvironment } from './beagle-environment.ts';
import { loader, rawBootLoader, ubootImage } from './beagle-firmware.ts';
import { beagleRoot, boardOf, cardEnvironment, configure, type Layout, rootUuid } from './beagle-old-systems.ts';

/** SD cards have sizes that are powers of two. */
const mediumMib = 1024;
/** Debian's images keep 4 MiB free; the older xM cards follow the geometry of disks with 63 sectors a track. */
const rootStartMib: Readonly<Record<Layout, number>> = { emmc: 4, sd: 64 };
const fatStartSector = 63;

export interface OldDiskOptions {
  readonly layout: Layout;
  /** Directory of this machine whose contents the old system has in /root/migration. */
  readonly work: string;
  readonly path: string;
}

/** Writes the disk of an old system, qcow2. */
export async function makeOldDisk({ layout, work, path }: OldDiskOptions): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-old-'));
  try {
    const tree = join(directory, 'tree');
    const { root, release } = await beagleRoot();
    await execa('cp', ['-a', '--reflink=auto', root, tree]);
    await configure(tree, { layout, release });
    await execa('cp', ['-a', '--reflink=auto', work, join(tree, 'root/migration')]);
    const raw = join(directory, 'disk');
    await execa('truncate', ['-s', `${mediumMib}M`, raw]);
    const startMib = rootStartMib[layout];
    await execa('sfdisk', ['-q', raw], { input: tables[layout] });
    await makeRoot(join(directory, 'root.ext4'), { tree, sizeMib: mediumMib - startMib });
    await place(join(directory, 'root.ext4'), raw, sectors(startMib));
    const environment = vendorEnvironment(boardOf[layout]);
    if (layout === 'emmc') await writeAt(raw, await rawBootLoader(environment));
    else await makeFat(directory, { raw, release, uboot: await ubootImage(environment) });
    await execa('qemu-img', ['convert', '-O', 'qcow2', raw, path]);
  } finally {
    await rm(directory, { recursive: true });
  }
}

const sectors = (mib: number): number => mib * 2048;
const tables: Readonly<Record<Layout, string>> = {
  emmc: `label: dos\nlabel-id: 0xbea61e01\nstart=${sectors(rootStartMib.emmc)},type=83,bootable\n`,
  sd: [
    'label: dos\nlabel-id: 0xbea61e02',
    `start=${fatStartSector},size=${sectors(rootStartMib.sd) - fatStartSector},type=e,bootable`,
    `start=${sectors(rootStartMib.sd)},type=83\n`,
  ].join('\n'),
};

/** ext4 without what older U-Boots cannot read, as Debian's images for these boards have it. */
async function makeRoot(image: string, { tree, sizeMib }: { tree: string; sizeMib: number }): Promise<void> {
  await execa('truncate', ['-s', `${sizeMib}M`, image]);
  const features = ['-O', '^metadata_csum,^64bit', '-E', 'lazy_itable_init=1,lazy_journal_init=1'];
  await execa('mkfs.ext4', ['-q', '-F', ...features, '-L', 'rootfs', '-U', rootUuid, '-d', tree, image]);
}

async function makeFat(
  directory: string,
  { raw, release, uboot }: { raw: string; release: string; uboot: Buffer },
): Promise<void> {
  const fat = join(directory, 'boot.fat');
  await execa('truncate', ['-s', String((sectors(rootStartMib.sd) - fatStartSector) * 512), fat]);
  await execa('mkfs.vfat', ['-F', '16', '-n', 'BOOT', '-i', 'bea61e02', fat]);
  // MLO comes first: the ROM of OMAP3 reads it without following a fragmented chain.
  const files: ReadonlyMap<string, Buffer> = new Map([
    ['MLO', loader()],
    ['u-boot.img', uboot],
    ['uEnv.txt', Buffer.from(cardEnvironment(release))],
  ]);
  for (const [name, bytes] of files) {
    await writeFile(join(directory, name), bytes);
    await execa('mcopy', ['-i', fat, join(directory, name), '::']);
  }
  await place(fat, raw, fatStartSector);
}

async function place(part: string, disk: string, startSector: number): Promise<void> {
  const sizes = ['bs=1M', 'oflag=seek_bytes', `seek=${startSector * 512}`];
  await execa('dd', [`if=${part}`, `of=${disk}`, ...sizes, 'conv=notrunc,sparse', 'status=none']);
  await rm(part);
}

async function writeAt(path: string, pieces: ReadonlyMap<number, Buffer>): Promise<void> {
  const file = await open(path, 'r+');
  try {
    for (const [offset, bytes] of pieces) await file.write(bytes, 0, bytes.length, offset);
  } finally {
    await file.close();
  }
}
