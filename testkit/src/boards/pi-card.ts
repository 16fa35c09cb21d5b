// SD cards of Raspberry Pis that are to be migrated, built without mounting anything.
import { chmod, copyFile, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { modelNamed } from '@migrate/device-rpi';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import { foreignRoot, releases } from '../foreign-root.ts';
import { serialAgent, serialAgentPath } from '../serial-shell.ts';
import { makeInitrd } from '../small-initrd.ts';
import type { PiBoard } from './pi-firmware.ts';
import { piFacts } from './pi-machine.ts';
import { type OldSystem, oldSystems, type PiSystemName } from './pi-old-systems.ts';

/** Changes when what is made here does. */
const recipe = 1;
const firstSector = 8192;
const diskId = '6c586e13';

export interface PiCard {
  readonly card: string;
  readonly board: PiBoard;
  /** Initramfs with the drivers that count as built into the old system's kernel; see pi-emulator.ts. */
  readonly builtIn?: string;
  /** Every write to the card is logged there, by QEMU's blklogwrites. */
  readonly writeLog?: string;
}

/** Of the modules of a kernel, those that a Pi or stage 2 could ask for. */
const moduleDirectories = [
  ...['crypto', 'lib', 'fs/ext4', 'fs/fat', 'fs/jbd2', 'fs/mbcache.ko', 'fs/nls'],
  ...['drivers/mmc', 'drivers/block/loop.ko', 'drivers/watchdog/bcm2835_wdt.ko'],
];

const rootModules = ['bcm2835', 'sdhci_iproc', 'crc32c_generic', 'ext4', 'bcm2835_wdt'];

/** Mounts root= as a kernel with the drivers built in would. */
const mountRoot = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sysfs /sys; $b mount -t devtmpfs devtmpfs /dev
for name in $($b cat /modules.order); do $b insmod /modules/$name; done
for word in $($b cat /proc/cmdline); do
  case $word in
    root=PARTUUID=${diskId}-0?) device=/dev/mmcblk0p\${word##*-0} ;;
    root=/dev/*) device=\${word#root=} ;;
  esac
done
until [ -b "$device" ]; do $b sleep 0.2; done
$b mkdir -p /root
$b mount -t ext4 -o ro "$device" /root
$b mount --move /dev /root/dev
$b umount /sys; $b umount /proc
exec $b switch_root /root /sbin/init
`;

/** A card in `directory` with an old system, whose /root/migration holds the files of `work`. */
export async function makePiCard(
  name: PiSystemName,
  { directory, work }: { directory: string; work: string },
): Promise<PiCard> {
  const system = oldSystems[name];
  const parts = await oldSystemParts(name);
  // Beside its source, as links must lie on the same file system.
  const tree = await mkdtemp(`${parts}.tree-`);
  const card = join(directory, 'card.img');
  const root = join(directory, 'root.ext4');
  try {
    // Links instead of copies: what is only read needs no bytes of its own.
    await execa('cp', ['--archive', '--link', '--no-target-directory', join(parts, 'root'), tree]);
    await execa('cp', ['--recursive', work, join(tree, 'root/migration')]);
    await execa('truncate', ['-s', `${system.cardMib}M`, card]);
    const bootSectors = system.bootMib * 2048;
    const rootStart = firstSector + bootSectors;
    const table = [
      `label: dos\nlabel-id: 0x${diskId}`,
      `start=${firstSector}, size=${bootSectors}, type=c`,
      `start=${rootStart}, type=83`,
    ];
    await execa('sfdisk', ['-q', card], { input: `${table.join('\n')}\n` });
    await execa('truncate', ['-s', String(system.cardMib * 2 ** 20 - rootStart * 512), root]);
    // Nothing is left for the kernel to initialise behind our back, which takes long on an emulated card.
    const whole = ['-E', 'lazy_itable_init=0,lazy_journal_init=0,nodiscard', '-J', 'size=4'];
    await execa('mke2fs', ['-q', '-t', 'ext4', '-L', 'rootfs', ...whole, '-d', tree, root]);
    await place(join(parts, 'boot.fat'), card, firstSector);
    await place(root, card, rootStart);
  } finally {
    await rm(root, { force: true });
    await rm(tree, { recursive: true });
  }
  const builtIn = system.initramfs === undefined ? { builtIn: join(parts, 'built-in.gz') } : {};
  return { card, board: boardOf(system), ...builtIn };
}

function boardOf({ deviceTreeModel, firmware }: OldSystem): PiBoard {
  const model = modelNamed(deviceTreeModel);
  if (model === undefined) throw new Error(`${deviceTreeModel} is not in the table`);
  return { model, ...firmware, serial: 0xa1b2c3d4, holding: [] };
}

async function place(part: string, card: string, sector: number): Promise<void> {
  const where = [`seek=${sector * 512}`, 'oflag=seek_bytes', 'bs=1M', 'conv=notrunc,sparse'];
  await execa('dd', [`if=${part}`, `of=${card}`, ...where, 'status=none']);
}

/** The unpacked Debian of an old system, as it came out of its packages: with its kernel and device trees. */
export function oldSystemRoot(name: PiSystemName): Promise<string> {
  const { architecture, packages } = oldSystems[name];
  return foreignRoot({ architecture, packages, moduleDirectories });
}

/** Directory with the root tree, boot.fat, and the initramfs of built-in drivers. */
async function oldSystemParts(name: PiSystemName): Promise<string> {
  const system = oldSystems[name];
  const source = await oldSystemRoot(name);
  return cached(`pi-${name}`, { recipe, source, system, serialAgent, mountRoot, rootModules }, async (unfinished) => {
    const root = join(unfinished, 'root');
    await execa('cp', ['--archive', source, root]);
    const [release = ''] = await releases(root);
    const initrd = join(unfinished, 'built-in.gz');
    const busybox = join(root, 'bin/busybox');
    await makeInitrd(initrd, { busybox, root, release, modules: rootModules, init: mountRoot });
    await fillBoot(system, { root, release, initrd, image: join(unfinished, 'boot.fat') });
    await fillRoot(system, root);
  });
}

async function fillRoot({ bootDirectory, files, programs, links }: OldSystem, root: string): Promise<void> {
  await mkdir(join(root, bootDirectory), { recursive: true });
  const scripts = { ...programs, [serialAgentPath]: serialAgent };
  for (const [path, contents] of Object.entries({ '/etc/hostname': 'brownfield\n', ...files, ...scripts })) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), contents);
  }
  for (const path of Object.keys(scripts)) await chmod(join(root, path), 0o755);
  for (const [path, target] of Object.entries(links)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await rm(join(root, path), { force: true });
    await symlink(target, join(root, path));
  }
}

/**
 * The texts of the captured machine, for this card. Stand-ins lie where firmware would. The serial console comes last, so that
 * what init programs print is seen.
 */
function bootTexts({ machine, bootDirectory }: OldSystem): Readonly<Record<string, string>> {
  const { bootFiles } = piFacts(machine);
  const text = (name: string): string => bootFiles.find(({ path }) => path === `${bootDirectory}/${name}`)?.text ?? '';
  const config = text('config.txt');
  const commandLine = text('cmdline.txt').replace(/(console=serial0,\S+) (console=tty1)/, '$2 $1 quiet');
  if (config === '' || !commandLine.includes(`root=PARTUUID=${diskId}-02`))
    throw new Error(`the boot files of ${machine} do not fit this card`);
  return {
    'config.txt': config,
    'cmdline.txt': commandLine,
    'overlays/README': 'Stands for the overlays, which nothing here applies.\n',
    ...Object.fromEntries(['bootcode.bin', 'start.elf', 'fixup.dat'].map((name) => [name, 'no firmware\n'])),
  };
}

/** Makes the boot partition. Of what the tree has of the kernel only /boot/vmlinuz-… stays, where Raspberry Pi OS has it. */
async function fillBoot(
  system: OldSystem,
  { root, release, initrd, image }: { root: string; release: string; initrd: string; image: string },
): Promise<void> {
  const tree = await mkdtemp(join(tmpdir(), 'migrate-pi-boot-'));
  const kernel = join(root, 'boot', `vmlinuz-${release}`);
  await mkdir(join(tree, 'overlays'));
  for (const [name, contents] of Object.entries(bootTexts(system))) await writeFile(join(tree, name), contents);
  const { name, upstream } = system.deviceTree;
  await copyFile(join(root, `usr/lib/linux-image-${release}`, upstream), join(tree, name));
  // The 64-bit kernel is packed, as Raspberry Pi OS does it.
  if (system.architecture === 'arm64') await execa('sh', ['-c', 'gzip -9n "$1" && mv "$1.gz" "$1"', 'pack', kernel]);
  await copyFile(kernel, join(tree, system.kernelFile));
  if (system.bootDirectory === '/boot') await copyFile(kernel, join(tree, `vmlinuz-${release}`));
  if (system.initramfs !== undefined) await copyFile(initrd, join(tree, system.initramfs));
  for (const file of await readdir(join(root, 'boot')))
    if (system.bootDirectory === '/boot' || !file.startsWith('vmlinuz')) await rm(join(root, 'boot', file));
  await rm(join(root, 'usr/lib', `linux-image-${release}`), { recursive: true });
  await execa('truncate', ['-s', `${system.bootMib}M`, image]);
  await execa('mkfs.vfat', ['-F', '32', '-n', 'bootfs', image]);
  await execa('sh', ['-c', 'mcopy -s -i "$1" "$2"/* ::', 'copy', image, tree]);
  await rm(tree, { recursive: true });
}
