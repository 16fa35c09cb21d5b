// Another kernel than the running one, for stage 2: one that this system has, with the modules that belong to it.
import type { HostReader } from '../host/host.ts';
import type { AskedKernel, Facts, Kernel } from './facts.ts';
import { head, releaseOfBzImage } from './kernel.ts';

/** XLF_KERNEL_64 in xloadflags (Documentation/arch/x86/boot.rst, offset 0x236, since protocol 2.12). */
const xloadflags = { at: 0x236, is64Bit: 1, since: 0x020c, versionAt: 0x206 };

/** Looks at the image and for its modules; only images for PCs say which release they are, and so which modules are theirs. */
export async function inspectAskedKernel(host: HostReader, path: string, running: Kernel): Promise<AskedKernel> {
  const realPath = (await host.realPath(path)) ?? path;
  const status = await host.status(realPath);
  if (status?.kind !== 'file') return { path, problem: 'it is not there' };
  const bytes = await head(host, realPath, 0x10000);
  const release = isFor64Bit(bytes) ? releaseOfBzImage(bytes) : undefined;
  if (release === undefined || running.architecture !== 'x86_64')
    return { path, problem: 'only a 64-bit kernel for PCs says which modules are its own' };
  const modules = `/lib/modules/${release}`;
  if ((await host.status(`${modules}/modules.dep`)) === undefined)
    return { path, problem: `the modules of its release are not in ${modules}` };
  return { path: realPath, sizeBytes: status.sizeBytes, release };
}

/** The facts as if the kernel that stage 2 starts were the running one. */
export function withStage2Kernel(facts: Facts): Facts {
  const { asked } = facts.kernel;
  if (asked === undefined || 'problem' in asked) return facts;
  return { ...facts, kernel: { ...facts.kernel, release: asked.release, image: asked } };
}

function isFor64Bit(image: Uint8Array): boolean {
  const buffer = Buffer.from(image.buffer, image.byteOffset, image.byteLength);
  if (buffer.length < xloadflags.at + 2 || buffer.readUInt16LE(xloadflags.versionAt) < xloadflags.since) return false;
  return (buffer.readUInt16LE(xloadflags.at) & xloadflags.is64Bit) !== 0;
}
