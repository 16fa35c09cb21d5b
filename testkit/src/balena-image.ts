// Images shaped like balenaOS: its partitions, labels and boot files, with a real kernel and a tiny userland that says on the
// serial console what it finds.
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { chmod, copyFile, cp, mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from './cached.ts';
import { debianRoot } from './debian-disk.ts';

export interface BalenaImageOptions {
  readonly table: 'mbr' | 'gpt';
  readonly deviceType: string;
  /** Incompressible bytes in rootA, to reach a size once compressed. */
  readonly payloadMib: number;
}

export interface BalenaImage {
  /** The image, gzip-compressed. */
  readonly path: string;
  /** The image itself. */
  readonly raw: string;
  readonly sizeBytes: number;
  readonly fileBytes: number;
  readonly sha256: string;
}

const recipe = 5;
const alignmentMib = 4;
const bootMib = 40;
const rootBMib = 24;
const stateMib = 20;
const dataMib = 48;

/** What the new system runs as its first and only program. Facts are printed in base64 so that no console mangles them. */
const userland = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for m in $($b cat /modules.order); do $b insmod /modules/$m 2>/dev/null; done
mode=bios; [ -d /sys/firmware/efi ] && mode=uefi
disk=
for i in 1 2 3 4 5 6 7 8 9 10; do
  for d in vda sda; do [ -b /dev/\${d}2 ] && disk=/dev/$d; done
  [ -n "$disk" ] && break
  $b sleep 0.5
done
type=$($b sed 's/.*newos.type=\\([^ ]*\\).*/\\1/' /proc/cmdline)
echo "NEWOS-BOOTED $type $mode $disk"
want=$($b sed 's/.*newos.root=\\([0-9a-f]*\\).*/\\1/' /proc/cmdline)
$b mkdir /root-a; $b mount -t ext4 -o ro \${disk}2 /root-a
have=$(cd /root-a && $b find . -type f | $b sort | $b xargs $b sha256sum | $b sha256sum | $b cut -c1-64)
[ "$have" = "$want" ] && echo NEWOS-ROOT-OK || echo "NEWOS-ROOT-BAD $have"
$b mkdir /boot /data
$b mount -t vfat -o ro \${disk}1 /boot && {
  echo "NEWOS-CONFIG $($b base64 -w 0 /boot/config.json)"
  for f in /boot/system-connections/*; do [ -f "$f" ] && echo "NEWOS-CONNECTION \${f##*/} $($b base64 -w 0 "$f")"; done
}
data=\${disk}5; [ -b \${disk}6 ] && data=\${disk}6
$b mount -t ext4 -o ro $data /data && {
  [ -f /data/migrate.log ] && echo "NEWOS-LOG $($b stat -c %a /data/migrate.log) $($b base64 -w 0 /data/migrate.log)"
  # As the supervisor does it, on a file system in memory.
  [ -f /data/backup.tgz ] && $b mkdir /work && $b mount -t tmpfs tmpfs /work && $b tar -xzf /data/backup.tgz -C /work && {
    cd /work
    echo "NEWOS-BACKUP $($b stat -c %a /data/backup.tgz) $($b find * | $b sort | while read -r f; do
      if [ -L "$f" ]; then echo "$f -> $($b readlink "$f")"
      elif [ -f "$f" ]; then echo "$f $($b stat -c '%a %u:%g %h' "$f") $($b sha256sum <"$f" | $b cut -c1-64)"
      else echo "$f/ $($b stat -c '%a %u:%g' "$f")"; fi
    done | $b base64 -w 0)"
    cd /
  }
}
echo NEWOS-DONE
$b sync; $b sleep 1; $b poweroff -f
`;

/** Builds the image once for each set of options. */
export async function balenaImage(options: BalenaImageOptions): Promise<BalenaImage> {
  const directory = await cached('balena-image', { recipe, userland, ...options }, (unfinished) =>
    build(options, unfinished),
  );
  const path = join(directory, 'balena.img.gz');
  const raw = join(directory, 'balena.img');
  return {
    path,
    raw,
    sizeBytes: (await stat(raw)).size,
    fileBytes: (await stat(path)).size,
    sha256: await sha256Of(path),
  };
}

async function build({ table, deviceType, payloadMib }: BalenaImageOptions, directory: string): Promise<void> {
  const system = join(await debianRoot(), 'root');
  const release = (await readdir(join(system, 'lib/modules')))[0] ?? '';
  const rootMib = payloadMib + 24;
  const layout = layOut(table, rootMib);
  const image = join(directory, 'balena.img');
  await execa('truncate', ['-s', `${layout.totalMib}M`, image]);
  await execa('sfdisk', ['-q', image], { input: layout.script });

  const rootA = await makeExt4(directory, {
    label: 'resin-rootA',
    sizeMib: rootMib,
    files: { 'etc/os-release': osRelease },
    randomMib: payloadMib,
  });
  const others = [
    await makeExt4(directory, { label: 'resin-rootB', sizeMib: rootBMib, files: { 'etc/os-release': osRelease } }),
    await makeExt4(directory, { label: 'resin-state', sizeMib: stateMib, files: {} }),
    await makeExt4(directory, { label: 'resin-data', sizeMib: dataMib, files: { 'apps.json': '{}\n' } }),
  ];
  const boot = await makeBoot(directory, { system, release, deviceType, rootHash: rootA.treeHash, table });
  for (const [index, part] of [boot, rootA.image, ...others.map(({ image: part }) => part)].entries()) {
    const startMib = layout.startsMib[index] ?? 0;
    await execa('dd', [`if=${part}`, `of=${image}`, 'bs=1M', `seek=${startMib}`, 'conv=notrunc,sparse', 'status=none']);
    await rm(part);
  }
  await installBiosGrub(image, { directory, table });
  await execa('pigz', ['-6', '-n', '-k', image]);
}

const osRelease = 'ID="balena-os"\nNAME="balenaOS"\nVERSION="5.1.20"\nPRETTY_NAME="balenaOS 5.1.20"\n';

function layOut(table: 'mbr' | 'gpt', rootMib: number) {
  const sizes = [bootMib, rootMib, rootBMib, stateMib, dataMib];
  const names = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'];
  const startsMib: number[] = [];
  let nextMib = alignmentMib;
  sizes.forEach((size, index) => {
    // Logical partitions of an MBR need room for their own table before them.
    if (table === 'mbr' && index >= 3) nextMib += alignmentMib;
    startsMib.push(nextMib);
    nextMib += size;
  });
  const sector = (mib: number): number => mib * 2048;
  const line = (index: number, type: string): string =>
    `start=${sector(startsMib[index] ?? 0)},size=${sector(sizes[index] ?? 0)},type=${type}`;
  if (table === 'gpt') {
    const lines = names.map((name, index) => `${line(index, index === 0 ? 'uefi' : 'linux')},name=${name}`);
    return {
      startsMib,
      totalMib: nextMib + 1,
      script: ['label: gpt', 'label-id: 7A7A7A7A-0000-4000-8000-000000000001', ...lines, ''].join('\n'),
    };
  }
  const extendedStart = (startsMib[3] ?? 0) - alignmentMib;
  const extended = `start=${sector(extendedStart)},size=${sector(nextMib - extendedStart)},type=5`;
  const lines = [`${line(0, 'e')},bootable`, line(1, '83'), line(2, '83'), extended, line(3, '83'), line(4, '83')];
  return { startsMib, totalMib: nextMib, script: ['label: dos', 'label-id: 0x7a7a7a7a', ...lines, ''].join('\n') };
}

async function makeExt4(
  directory: string,
  {
    label,
    sizeMib,
    files,
    randomMib = 0,
  }: { label: string; sizeMib: number; files: Record<string, string>; randomMib?: number },
): Promise<{ readonly image: string; readonly treeHash: string }> {
  const tree = join(directory, `${label}.tree`);
  await mkdir(tree);
  for (const [path, contents] of Object.entries(files)) {
    await mkdir(join(tree, path, '..'), { recursive: true });
    await writeFile(join(tree, path), contents);
  }
  for (let part = 0; part < randomMib; part += 8)
    await writeFile(join(tree, `random-${part}`), randomBytes(Math.min(8, randomMib - part) * 1024 * 1024));
  const image = join(directory, `${label}.ext4`);
  await execa('truncate', ['-s', `${sizeMib}M`, image]);
  await execa('mkfs.ext4', ['-q', '-F', '-i', '8192', '-L', label, '-d', tree, image]);
  const hashFiles = 'find . -type f | LC_ALL=C sort | xargs sha256sum | sha256sum | cut -c1-64';
  const { stdout: treeHash } = await execa('sh', ['-c', hashFiles], { cwd: tree });
  await rm(tree, { recursive: true });
  return { image, treeHash };
}

interface BootOptions {
  readonly system: string;
  readonly release: string;
  readonly deviceType: string;
  readonly rootHash: string;
  readonly table: 'mbr' | 'gpt';
}

async function makeBoot(
  directory: string,
  { system, release, deviceType, rootHash, table }: BootOptions,
): Promise<string> {
  const tree = join(directory, 'boot.tree');
  await mkdir(join(tree, 'EFI/BOOT'), { recursive: true });
  await mkdir(join(tree, 'grub'));
  await mkdir(join(tree, 'system-connections'));
  const menu = [
    'serial --unit=0 --speed=115200',
    'terminal_input console serial',
    'terminal_output console serial',
    'set timeout=0',
    `linux /bzImage console=ttyS0,115200 panic=-1 newos.type=${deviceType} newos.root=${rootHash}`,
    'initrd /initrd',
    'boot',
    '',
  ].join('\n');
  const files: Record<string, string> = {
    'device-type.json': JSON.stringify({ slug: deviceType, name: deviceType, arch: 'amd64' }),
    'os-release': osRelease,
    'image-version-info': 'Distro Version: 5.1.20\n',
    'grub/grub.cfg': menu,
    'EFI/BOOT/grub.cfg': menu,
    'system-connections/balena-sample.ignore': '[connection]\nid=balena-sample\ntype=wifi\n',
  };
  for (const [path, contents] of Object.entries(files)) await writeFile(join(tree, path), contents);
  await copyFile(join(system, `boot/vmlinuz-${release}`), join(tree, 'bzImage'));
  await makeInitrd(join(tree, 'initrd'), { directory, system, release });
  const modules = [
    `part_${table === 'gpt' ? 'gpt' : 'msdos'}`,
    'fat',
    'normal',
    'linux',
    'echo',
    'serial',
    'terminal',
    'boot',
    'configfile',
  ];
  await execa('grub-mkimage', [
    '-O',
    'x86_64-efi',
    '-p',
    '/EFI/BOOT',
    '-o',
    join(tree, 'EFI/BOOT/bootx64.efi'),
    ...modules,
    'all_video',
  ]);
  const image = join(directory, 'boot.fat');
  await execa('truncate', ['-s', `${bootMib}M`, image]);
  await execa('mkfs.vfat', ['-F', '16', '-n', 'resin-boot', image]);
  await execa('sh', ['-c', 'mcopy -s -i "$1" "$2"/* ::', 'copy', image, tree]);
  await rm(tree, { recursive: true });
  return image;
}

const initrdModules = [
  'virtio_ring',
  'virtio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_blk',
  'fat',
  'vfat',
  'nls_cp437',
  'nls_ascii',
  'crc16',
  'libcrc32c',
  'crc32c_generic',
  'jbd2',
  'mbcache',
  'ext4',
];

async function makeInitrd(
  path: string,
  { directory, system, release }: { directory: string; system: string; release: string },
): Promise<void> {
  const tree = join(directory, 'initrd.tree');
  for (const name of ['bin', 'proc', 'sys', 'dev', 'modules']) await mkdir(join(tree, name), { recursive: true });
  await cp('/bin/busybox', join(tree, 'bin/busybox'));
  const { stdout } = await execa('find', [join(system, 'lib/modules', release), '-name', '*.ko']);
  const order: string[] = [];
  for (const name of initrdModules) {
    const source = stdout.split('\n').find((file) => file.endsWith(`/${name}.ko`));
    if (source === undefined) continue;
    await copyFile(source, join(tree, 'modules', `${name}.ko`));
    order.push(`${name}.ko`);
  }
  await writeFile(join(tree, 'modules.order'), `${order.join('\n')}\n`);
  await writeFile(join(tree, 'init'), userland);
  await chmod(join(tree, 'init'), 0o755);
  await execa(
    'sh',
    ['-c', 'find . | LC_ALL=C sort | cpio -o -H newc --quiet --owner=0:0 | gzip -6 >"$1"', 'pack', path],
    { cwd: tree },
  );
  await rm(tree, { recursive: true });
}

/** GRUB for BIOS: boot.img in sector 0, its core in the gap before the first partition, as grub-install would put it on MBR. */
async function installBiosGrub(
  image: string,
  { directory, table }: { directory: string; table: 'mbr' | 'gpt' },
): Promise<void> {
  const core = join(directory, 'core.img');
  const partition = table === 'gpt' ? 'gpt1' : 'msdos1';
  const modules = [
    'biosdisk',
    table === 'gpt' ? 'part_gpt' : 'part_msdos',
    'fat',
    'normal',
    'linux',
    'echo',
    'serial',
    'terminal',
    'boot',
  ];
  await execa('grub-mkimage', ['-O', 'i386-pc', '-p', `(hd0,${partition})/grub`, '-o', core, ...modules]);
  // GPT keeps its entries in sectors 2 to 33; the gap behind them is free up to the first partition.
  const coreSector = table === 'gpt' ? 34 : 1;
  const bootImage = join(directory, 'boot.img');
  await copyFile('/usr/lib/grub/i386-pc/boot.img', bootImage);
  await patch(bootImage, 0x5c, coreSector);
  await patch(core, 0x1f4, coreSector + 1);
  await execa('dd', [`if=${bootImage}`, `of=${image}`, 'bs=440', 'count=1', 'conv=notrunc', 'status=none']);
  await execa('dd', [`if=${core}`, `of=${image}`, 'bs=512', `seek=${coreSector}`, 'conv=notrunc', 'status=none']);
  await rm(core);
  await rm(bootImage);
}

/** Writes a 64-bit sector number where GRUB's boot code keeps the place of what it loads next. */
async function patch(path: string, offset: number, sector: number): Promise<void> {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(sector));
  await execa('dd', [`of=${path}`, 'bs=1', `seek=${offset}`, 'conv=notrunc', 'status=none'], { input: bytes });
}

export async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}

/** A config.json as the dashboard gives it, with values that belong to nobody. */
export function configJson(deviceType: string): string {
  return `${JSON.stringify(
    {
      applicationName: 'brownfield-fleet',
      applicationId: 1234567,
      deviceType,
      userId: 12345,
      appUpdatePollInterval: 900000,
      listenPort: 48484,
      vpnPort: 443,
      apiEndpoint: 'https://api.example.com',
      vpnEndpoint: 'vpn.example.com',
      registryEndpoint: 'registry.example.com',
      deltaEndpoint: 'https://delta.example.com',
      apiKey: 'canary-api-key-0123456789abcdef',
    },
    null,
    2,
  )}\n`;
}
