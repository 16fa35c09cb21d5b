// Images shaped like balenaOS: its partitions, labels and boot files, with a real kernel and a tiny userland that says on the
// serial console what it finds.
import { createHash, randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { pcBoot } from './balena-pc-boot.ts';
import { cached } from './cached.ts';
import { makeInitrd, type SmallInitrd } from './small-initrd.ts';

export interface BalenaImageOptions {
  readonly table: 'mbr' | 'gpt';
  readonly deviceType: string;
  /** Incompressible bytes in rootA, to reach a size once compressed. */
  readonly payloadMib: number;
  /** How the machine starts it; as a PC does where it is left out. */
  readonly boot?: TargetBoot;
}

/** What differs between the machines that an image is for. */
export interface TargetBoot {
  /** All that decides what the functions below write: a part of the name under which an image is kept. */
  readonly key: unknown;
  /** As device-type.json says it. */
  readonly architecture: string;
  readonly sizesMib: PartitionSizes;
  /** For the initrd of the new system. */
  readonly system: Omit<SmallInitrd, 'init'>;
  /** Writes what the firmware or boot loader reads, and the kernel, below `tree`, which becomes resin-boot. */
  fill(tree: string, parts: BootParts): Promise<void>;
  /** Puts loaders where no partition is. `directory` may take files meanwhile. */
  installLoader?(image: string, directory: string): Promise<void>;
}

export interface PartitionSizes {
  readonly boot: number;
  /** Beside the payload. */
  readonly rootA: number;
  readonly rootB: number;
  readonly state: number;
  readonly data: number;
}

export interface BootParts {
  /** Words of the kernel command line that the new system needs. */
  readonly commandLine: readonly string[];
  writeInitrd(path: string): Promise<void>;
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

const recipe = 6;
const alignmentMib = 4;

/** What the new system runs as its first and only program. Facts are printed in base64 so that no console mangles them. */
const userland = `#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
# A line of ours must stay one.
$b dmesg -n 1
for m in $($b cat /modules.order); do $b insmod /modules/$m 2>/dev/null; done
mode=bios; [ -d /sys/firmware/efi ] && mode=uefi; [ -d /proc/device-tree ] && mode=device-tree
for i in 1 2 3 4 5 6 7 8 9 10; do
  boot=$($b findfs LABEL=resin-boot) && break
  $b sleep 0.5
done
disk=\${boot%1}
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
  const boot = options.boot ?? (await pcBoot(options.table));
  const { sizesMib, architecture, key } = boot;
  const inputs = { recipe, userland, ...options, boot: { key, architecture, sizesMib } };
  const directory = await cached('balena-image', inputs, (unfinished) => build({ ...options, boot }, unfinished));
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

async function build(options: BalenaImageOptions & { boot: TargetBoot }, directory: string): Promise<void> {
  const { table, payloadMib, boot } = options;
  const sizesMib = { ...boot.sizesMib, rootA: boot.sizesMib.rootA + payloadMib };
  const layout = layOut(table, sizesMib);
  const image = join(directory, 'balena.img');
  await execa('truncate', ['-s', `${layout.totalMib}M`, image]);
  await execa('sfdisk', ['-q', image], { input: layout.script });

  const system = { 'etc/os-release': osRelease };
  const rootA = await makeExt4(directory, {
    label: 'resin-rootA',
    sizeMib: sizesMib.rootA,
    files: system,
    randomMib: payloadMib,
  });
  const others = [
    await makeExt4(directory, { label: 'resin-rootB', sizeMib: sizesMib.rootB, files: system }),
    await makeExt4(directory, { label: 'resin-state', sizeMib: sizesMib.state, files: {} }),
    await makeExt4(directory, { label: 'resin-data', sizeMib: sizesMib.data, files: { 'apps.json': '{}\n' } }),
  ];
  const bootPart = await makeBoot(directory, options, rootA.treeHash);
  for (const [index, part] of [bootPart, rootA.image, ...others.map(({ image: part }) => part)].entries()) {
    const startMib = layout.startsMib[index] ?? 0;
    await execa('dd', [`if=${part}`, `of=${image}`, 'bs=1M', `seek=${startMib}`, 'conv=notrunc,sparse', 'status=none']);
    await rm(part);
  }
  await boot.installLoader?.(image, directory);
  await execa('pigz', ['-6', '-n', '-k', image]);
}

const osRelease = 'ID="balena-os"\nNAME="balenaOS"\nVERSION="5.1.20"\nPRETTY_NAME="balenaOS 5.1.20"\n';

function layOut(table: 'mbr' | 'gpt', { boot, rootA, rootB, state, data }: PartitionSizes) {
  const sizes = [boot, rootA, rootB, state, data];
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

async function makeBoot(
  directory: string,
  { deviceType, boot }: BalenaImageOptions & { boot: TargetBoot },
  rootHash: string,
): Promise<string> {
  const tree = join(directory, 'boot.tree');
  await mkdir(join(tree, 'system-connections'), { recursive: true });
  const files: Record<string, string> = {
    'device-type.json': JSON.stringify({ slug: deviceType, name: deviceType, arch: boot.architecture }),
    'os-release': osRelease,
    'image-version-info': 'Distro Version: 5.1.20\n',
    'system-connections/balena-sample.ignore': '[connection]\nid=balena-sample\ntype=wifi\n',
  };
  for (const [path, contents] of Object.entries(files)) await writeFile(join(tree, path), contents);
  await boot.fill(tree, {
    commandLine: [`newos.type=${deviceType}`, `newos.root=${rootHash}`],
    writeInitrd: (path) => makeInitrd(path, { ...boot.system, init: userland }),
  });
  const image = join(directory, 'boot.fat');
  await execa('truncate', ['-s', `${boot.sizesMib.boot}M`, image]);
  await execa('mkfs.vfat', ['-F', '16', '-n', 'resin-boot', image]);
  await execa('sh', ['-c', 'mcopy -s -i "$1" "$2"/* ::', 'copy', image, tree]);
  await rm(tree, { recursive: true });
  return image;
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
