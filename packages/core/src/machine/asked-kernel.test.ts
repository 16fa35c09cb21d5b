import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { inspectAskedKernel } from './asked-kernel.ts';
import type { Kernel } from './facts.ts';

const running: Kernel = { release: '6.1.0-50-amd64', architecture: 'x86_64', commandLine: '' };

/** The parts of a kernel image that say what it is (Documentation/arch/x86/boot.rst). */
function image({ release = '6.12.1', protocol = 0x020f, xloadflags = 1 } = {}): Uint8Array {
  const bytes = Buffer.alloc(0x4000);
  bytes.write('HdrS', 0x202, 'latin1');
  bytes.writeUInt16LE(protocol, 0x206);
  bytes.writeUInt16LE(0x3000, 0x20e);
  bytes.writeUInt16LE(xloadflags, 0x236);
  bytes.write(`${release} (somebody) #1\0`, 0x3200, 'latin1');
  return bytes;
}

const modules = { '/lib/modules/6.12.1/modules.dep': '' };
const inspect = (files: Record<string, string | Uint8Array>, path = '/boot/other', kernel = running) =>
  inspectAskedKernel(createMemoryHost({ files: { '/boot/x': '', ...files } }), path, kernel);

describe('a kernel that stage 2 is to run on', () => {
  it('is taken where its modules are there', async () => {
    expect(await inspect({ '/boot/other': image(), ...modules })).toEqual({
      path: '/boot/other',
      sizeBytes: 0x4000,
      release: '6.12.1',
    });
  });

  const noRelease = 'only a 64-bit kernel for PCs says which modules are its own';
  it.each<[string, Record<string, string | Uint8Array>, string]>([
    ['it is missing', modules, 'it is not there'],
    ['it is a directory', { '/boot/other/x': '', ...modules }, 'it is not there'],
    ['it is empty', { '/boot/other': '', ...modules }, noRelease],
    ['it is a zImage for ARM', { '/boot/other': new Uint8Array(0x4000), ...modules }, noRelease],
    ['it is for 32 bits', { '/boot/other': image({ xloadflags: 0 }), ...modules }, noRelease],
    ['it does not say for how many bits', { '/boot/other': image({ protocol: 0x020b }), ...modules }, noRelease],
    [
      'its modules are missing',
      { '/boot/other': image() },
      'the modules of its release are not in /lib/modules/6.12.1',
    ],
  ])('is not where %s', async (_, files, problem) => {
    expect(await inspect(files)).toEqual({ path: '/boot/other', problem });
  });

  it('is not on a board', async () => {
    const board: Kernel = { ...running, architecture: 'aarch64' };
    expect(await inspect({ '/boot/other': image(), ...modules }, '/boot/other', board)).toHaveProperty('problem');
  });
});
