// Debian 12 machines to be migrated: installed as Debian does it, with its own GRUB, in three shapes.
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from './cached.ts';
import type { Machine } from './machine.ts';
import { type PcDisk, type PcOptions, startPc } from './pc.ts';

export type Shape = 'bios-mbr' | 'bios-gpt' | 'uefi';

/** Changes when the recipe does. */
const recipe = 4;
const packages = [
  'linux-image-amd64',
  'systemd',
  'systemd-sysv',
  'udev',
  'dbus',
  'kmod',
  'iproute2',
  'initramfs-tools',
  'zstd',
  'e2fsprogs',
  'dosfstools',
  'grub2-common',
  'grub-pc-bin',
  'grub-efi-amd64-bin',
  'grub-efi-amd64-signed',
  'shim-signed',
  'efibootmgr',
  'qemu-guest-agent',
];
export const diskBytes = 2 * 1024 ** 3;
const espSectors = 131_072;

/** An unpacked Debian 12 with kernel, systemd, GRUB's programs and the guest agent. */
export function debianRoot(): Promise<string> {
  return cached('debian-root', { recipe, packages }, async (directory) => {
    const root = join(directory, 'root');
    await mkdir(root);
    await execa('debootstrap', [
      '--variant=minbase',
      `--include=${packages.join(',')}`,
      'bookworm',
      root,
      'http://deb.debian.org/debian',
    ]);
    await configure(root);
  });
}

async function configure(root: string): Promise<void> {
  const files: Record<string, string> = {
    '/etc/hostname': 'brownfield\n',
    '/etc/hosts': '127.0.0.1 localhost brownfield\n',
    '/etc/default/grub':
      'GRUB_DEFAULT=0\nGRUB_TIMEOUT=1\nGRUB_DISTRIBUTOR=Debian\nGRUB_CMDLINE_LINUX_DEFAULT="quiet"\n' +
      'GRUB_CMDLINE_LINUX="console=tty0 console=ttyS0,115200"\nGRUB_TERMINAL="console serial"\n' +
      'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"\nGRUB_DISABLE_OS_PROBER=true\n',
    '/etc/systemd/system/say-up.service':
      '[Unit]\nDescription=Say on the console that the old system is up\nAfter=qemu-guest-agent.service\n' +
      '[Service]\nType=oneshot\nExecStart=/bin/sh -c "echo OLD-SYSTEM-UP >/dev/ttyS0"\n[Install]\nWantedBy=multi-user.target\n',
  };
  for (const [path, contents] of Object.entries(files)) await writeFile(join(root, path), contents);
  await execa('chroot', [root, 'systemctl', 'enable', 'say-up.service', 'qemu-guest-agent.service']).catch(
    () => undefined,
  );
  await mkdir(join(root, 'etc/systemd/system/multi-user.target.wants'), { recursive: true });
  const masked = [
    'apt-daily.timer',
    'apt-daily-upgrade.timer',
    'dpkg-db-backup.timer',
    'e2scrub_all.timer',
    'e2scrub_reap.service',
    'fstrim.timer',
    'serial-getty@ttyS0.service',
  ];
  await execa('chroot', [root, 'systemctl', 'mask', ...masked]);
  await execa('sh', ['-c', 'rm -rf var/cache/apt/archives/*.deb var/lib/apt/lists/*'], { cwd: root });
}

/** Where a disk lies, with the UEFI variables that belong to it. */
export interface BuiltDisk {
  readonly disk: string;
  readonly uefiVariables?: string;
}

/** A disk of that shape, powered off. */
export async function debianDisk(shape: Shape): Promise<BuiltDisk> {
  const root = await debianRoot();
  const directory = await cached(
    `debian-${shape}`,
    { recipe, packages, installer, shape, diskBytes },
    async (unfinished) => {
      const raw = join(unfinished, 'disk.raw');
      await execa('truncate', ['-s', String(diskBytes), raw]);
      await execa('sfdisk', ['-q', raw], { input: tables[shape] });
      await execa('bash', ['-c', installer, 'install', raw, join(root, 'root'), shape, String(espSectors)]);
      await execa('qemu-img', ['convert', '-O', 'qcow2', raw, join(unfinished, 'disk.qcow2')]);
      await execa('rm', [raw]);
      if (shape === 'uefi')
        await execa('qemu-img', [
          'convert',
          '-O',
          'qcow2',
          '/usr/share/OVMF/OVMF_VARS_4M.fd',
          join(unfinished, 'variables.qcow2'),
        ]);
    },
  );
  return builtIn(directory, shape);
}

const tables: Record<Shape, string> = {
  'bios-mbr': 'label: dos\nlabel-id: 0xb0b0b0b0\nstart=2048,type=83,bootable\n',
  'bios-gpt':
    'label: gpt\nstart=2048,size=2048,type=21686148-6449-6E6F-744E-656564454649,name=bios\nstart=4096,type=linux,name=root\n',
  uefi: `label: gpt\nstart=2048,size=${espSectors},type=uefi,name=ESP\nstart=${espSectors + 2048},type=linux,name=root\n`,
};

/**
 * Installs as a person would: grub-install and update-grub in a chroot on the disk. The host's kernel may know neither
 * partition tables nor FAT, so partitions are announced with partx, and the ESP is filled with mtools as Debian's signed GRUB
 * lays it out (shim, GRUB, and a stub that leads to the menu).
 */
const installer = `
set -euo pipefail
disk=$1 root=$2 shape=$3 esp_sectors=$4
work=$(mktemp -d)
loop=$(losetup --find --show "$disk")
cleanup() {
  for place in dev proc sys; do mountpoint -q "$work/$place" && umount "$work/$place"; done
  mountpoint -q "$work" && umount "$work"
  partx -d "$loop" || true
  losetup -d "$loop"
  rmdir "$work"
  rm -f "/dev/disk/by-uuid/\${uuid:-none}"
}
trap cleanup EXIT
partx -a "$loop"
number=2
[ "$shape" = bios-mbr ] && number=1
part=\${loop}p$number
[ -e "$part" ] || mknod "$part" b $(tr : ' ' <"/sys/block/\${loop#/dev/}/\${loop#/dev/}p$number/dev")
mkfs.ext4 -q -F -L root "$part"
mount "$part" "$work"
cp -a "$root/." "$work/"
uuid=$(blkid -s UUID -o value "$part")
echo "UUID=$uuid / ext4 errors=remount-ro 0 1" >"$work/etc/fstab"
mount --bind /dev "$work/dev"
mount -t proc proc "$work/proc"
mount -t sysfs sys "$work/sys"
# grub-mkconfig names the root by its UUID only where udev has made this link.
mkdir -p /dev/disk/by-uuid
ln -sf "$part" "/dev/disk/by-uuid/$uuid"
mkdir -p "$work/boot/grub"
if [ "$shape" = uefi ]; then
  esp=$(mktemp)
  truncate -s $((esp_sectors * 512)) "$esp"
  mkfs.vfat -F 32 -n ESP "$esp" >/dev/null
  stub=$(mktemp)
  printf 'search.fs_uuid %s root\\nset prefix=($root)/boot/grub\\nconfigfile $prefix/grub.cfg\\n' "$uuid" >"$stub"
  mmd -i "$esp" ::EFI ::EFI/debian ::EFI/BOOT
  mcopy -i "$esp" "$work/usr/lib/shim/shimx64.efi.signed" ::EFI/debian/shimx64.efi
  mcopy -i "$esp" "$work/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed" ::EFI/debian/grubx64.efi
  mcopy -i "$esp" "$work/usr/lib/shim/BOOTX64.CSV" ::EFI/debian/BOOTX64.CSV
  mcopy -i "$esp" "$stub" ::EFI/debian/grub.cfg
  mcopy -i "$esp" "$work/usr/lib/shim/shimx64.efi.signed" ::EFI/BOOT/BOOTX64.EFI
  mcopy -i "$esp" "$work/usr/lib/shim/fbx64.efi.signed" ::EFI/BOOT/fbx64.efi
  dd if="$esp" of="\${loop}" bs=1M seek=1 conv=notrunc,sparse status=none
  espuuid=$(blkid -s UUID -o value "$esp")
  mkdir -p "$work/boot/efi"
  echo "UUID=$espuuid /boot/efi vfat umask=0077 0 1" >>"$work/etc/fstab"
  cp -r "$work/usr/lib/grub/x86_64-efi" "$work/boot/grub/"
  chroot "$work" grub-editenv /boot/grub/grubenv create
  rm "$esp" "$stub"
else
  chroot "$work" grub-install --target=i386-pc "$loop" 2>&1
fi
chroot "$work" update-grub 2>&1
grep -q "root=UUID=$uuid" "$work/boot/grub/grub.cfg"
`;

function builtIn(directory: string, shape: Shape): BuiltDisk {
  return {
    disk: join(directory, 'disk.qcow2'),
    ...(shape === 'uefi' ? { uefiVariables: join(directory, 'variables.qcow2') } : {}),
  };
}

const stateName = 'state';

export interface BootedDisk extends BuiltDisk {
  /** For `startPc`. */
  readonly state: string;
}

/** The same disk with the system booted, and the state of the machine, from which another is up in a second. */
export async function bootedDisk(shape: Shape, memoryMib: number): Promise<BootedDisk> {
  const source = await debianDisk(shape);
  const id = await readFile('/etc/debian_version', 'utf8').catch(() => '');
  const qemu = (await execa('qemu-system-x86_64', ['--version'])).stdout.split('\n')[0];
  const directory = await cached(
    `booted-${shape}-${memoryMib}`,
    { source, id, qemu, machineRecipe: 4 },
    async (unfinished) => {
      const built = await copyDisk(source, unfinished);
      const machine = await startPc(optionsFor(shape, built, memoryMib));
      try {
        await machine.waitFor(/OLD-SYSTEM-UP/);
        if (shape === 'uefi') {
          // The first boot goes by the fallback loader, which makes the boot entry that every later boot uses.
          await machine.waitForAgent();
          await machine.run('/sbin/reboot').catch(() => undefined);
          await machine.waitFor(/OLD-SYSTEM-UP/);
        }
        await machine.waitForAgent();
        await new Promise((resolve) => setTimeout(resolve, 3000));
        await machine.runShell('sync');
        await machine.saveState(join(unfinished, stateName));
      } finally {
        await machine.kill();
      }
    },
  );
  return { ...builtIn(directory, shape), state: join(directory, stateName) };
}

async function copyDisk(source: BuiltDisk, directory: string): Promise<BuiltDisk> {
  const target: BuiltDisk = {
    disk: join(directory, 'disk.qcow2'),
    ...(source.uefiVariables === undefined ? {} : { uefiVariables: join(directory, 'variables.qcow2') }),
  };
  await execa('cp', ['--reflink=auto', '--sparse=always', source.disk, target.disk]);
  if (source.uefiVariables !== undefined && target.uefiVariables !== undefined)
    await copyFile(source.uefiVariables, target.uefiVariables);
  return target;
}

function optionsFor(shape: Shape, built: BuiltDisk, memoryMib: number): PcOptions {
  return {
    firmware: shape === 'uefi' ? 'uefi' : 'bios',
    disks: [{ path: built.disk, format: 'qcow2', serial: 'BROWNFIELD' }],
    memoryMib,
    ...(built.uefiVariables === undefined ? {} : { uefiVariables: built.uefiVariables }),
  };
}

/** What a machine has beyond the usual; it is then started from its disk, which takes a minute. */
export interface MoreHardware {
  readonly disks: readonly PcDisk[];
  readonly hasWatchdog: boolean;
  readonly processors: number;
}

/**
 * Waits for the old system after a start. Where the machine is slow, answers to pings that were given up come later and would be
 * taken for those of commands; so it is tried until a command is answered.
 */
export async function oldSystemUp(machine: Machine): Promise<void> {
  const timeoutMs = 600_000;
  await machine.waitFor(/OLD-SYSTEM-UP/, { timeoutMs });
  for (let round = 1; ; round += 1) {
    await machine.waitForAgent({ timeoutMs });
    try {
      await machine.runShell('true');
      return;
    } catch (thrown) {
      if (round >= 20) throw thrown;
      await new Promise((resolve) => setTimeout(resolve, 2000));
    }
  }
}

export interface Brownfield {
  readonly machine: Machine;
  /** Its disk, to be looked at when the machine is off. */
  readonly disk: string;
}

/** A running Debian machine of that shape with its own copy of the disk in `directory`. */
export async function startBrownfield({
  shape,
  memoryMib = 1024,
  directory,
  share,
  reachesHost = false,
  more,
}: {
  shape: Shape;
  memoryMib?: number;
  directory: string;
  share?: string;
  reachesHost?: boolean;
  more?: MoreHardware;
}): Promise<Brownfield> {
  const booted = more === undefined ? await bootedDisk(shape, memoryMib) : undefined;
  const source = booted ?? (await debianDisk(shape));
  const built = await copyDisk(source, directory);
  const usual = optionsFor(shape, built, memoryMib);
  const machine = await startPc({
    ...usual,
    reachesHost,
    ...(booted === undefined ? {} : { state: booted.state }),
    ...(more === undefined ? {} : { ...more, disks: [...usual.disks, ...more.disks] }),
    ...(share === undefined ? {} : { share }),
  });
  if (more !== undefined) await oldSystemUp(machine);
  if (share !== undefined) await mountShare(machine);
  return { machine, disk: built.disk };
}

/** What the machine was given as a share is then at /mnt/share. */
export async function mountShare(machine: Machine): Promise<void> {
  await machine.runShell(
    'modprobe 9pnet_virtio && mkdir -p /mnt/share && mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,ro share /mnt/share',
  );
}
