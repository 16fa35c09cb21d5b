import type { ByteReader, HostReader } from '../host/host.ts';
import type { Architecture, Kernel } from './facts.ts';

/** What the running kernel is, and where its image lies. */
export async function inspectKernel(host: HostReader): Promise<Kernel> {
  const release = ((await host.readText('/proc/sys/kernel/osrelease')) ?? '').trim();
  const commandLine = ((await host.readText('/proc/cmdline')) ?? '').trim();
  const image = await findKernelImage(host, release);
  return {
    release,
    architecture: architectureNamed(host.machine),
    commandLine,
    ...(image === undefined ? {} : { image }),
  };
}

/** Architecture of an ELF file; see architectureOfElfHead. */
export async function architectureOfElf(host: HostReader, path: string): Promise<Architecture> {
  if ((await host.status(path))?.kind !== 'file') return 'unknown';
  return architectureOfElfHead(await head(host, path, elfHeadBytes));
}

/** What architectureOfElfHead looks at. */
export const elfHeadBytes = 20;

/** Architecture by e_machine (ELF specification, figure 4-3 and its processor supplements) in the first bytes of an ELF file. */
export function architectureOfElfHead(header: Uint8Array): Architecture {
  const isElf = Buffer.from(header.subarray(0, 4)).toString('latin1') === '\x7fELF';
  if (header.length < elfHeadBytes || !isElf) return 'unknown';
  const machines: Record<number, Architecture> = { 3: 'i386', 40: 'arm', 62: 'x86_64', 183: 'aarch64' };
  return machines[(header[18] ?? 0) | ((header[19] ?? 0) << 8)] ?? 'unknown';
}

/** Names as uname(1) gives them. */
export function architectureNamed(machine: string): Architecture {
  if (machine === 'x86_64' || machine === 'aarch64') return machine;
  if (/^i[3-6]86$/.test(machine)) return 'i386';
  if (/^armv[67]/.test(machine)) return 'arm';
  // What a 64-bit kernel says to programs that asked to be told of a 32-bit one (arch/arm64/include/asm/compat.h).
  if (machine === 'armv8l') return 'aarch64';
  return 'unknown';
}

/** True where a release as of `uname -r` comes before the given version. */
export function isKernelOlder(release: string, [major, minor]: readonly [number, number]): boolean {
  const [releaseMajor = 0, releaseMinor = 0] = release.split('.').map((part) => Number.parseInt(part, 10) || 0);
  return releaseMajor < major || (releaseMajor === major && releaseMinor < minor);
}

/** Features that /proc/cpuinfo of an ARM kernel names (arch/arm/kernel/setup.c); undefined elsewhere, where it has no such line. */
export function parseProcessorFeatures(cpuInfo: string): readonly string[] | undefined {
  return /^Features[ \t]*:(.*)$/m.exec(cpuInfo)?.[1]?.trim().split(/ +/);
}

async function findKernelImage(host: HostReader, release: string): Promise<Kernel['image']> {
  for (const path of [`/boot/vmlinuz-${release}`, `/boot/kernel-${release}`, `/usr/lib/modules/${release}/vmlinuz`]) {
    const status = await host.status(path);
    if (status?.kind !== 'file') continue;
    const imageRelease = releaseOfBzImage(await head(host, path, 0x10000));
    return { path, sizeBytes: status.sizeBytes, ...(imageRelease === undefined ? {} : { release: imageRelease }) };
  }
  return undefined;
}

/**
 * The release that an x86 kernel image says it is: the first word of the string that kernel_version points at
 * (Documentation/arch/x86/boot.rst, offset 0x20e, relative to 0x200). Undefined for other formats.
 */
export function releaseOfBzImage(bytes: Uint8Array): string | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (buffer.length < 0x210 || buffer.toString('latin1', 0x202, 0x206) !== 'HdrS') return undefined;
  const start = buffer.readUInt16LE(0x20e) + 0x200;
  const end = buffer.indexOf(0, start);
  if (start === 0x200 || end < 0 || end - start > 512) return undefined;
  return buffer.toString('latin1', start, end).split(' ')[0];
}

/** The first bytes of a file, fewer where it is shorter. */
export async function head(host: HostReader, path: string, sizeBytes: number): Promise<Uint8Array> {
  const reader: ByteReader = await host.openRead(path);
  try {
    const bytes = new Uint8Array(sizeBytes);
    return bytes.subarray(0, await reader.read(bytes, 0));
  } finally {
    await reader.close();
  }
}
