import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import {
  architectureNamed,
  architectureOfElf,
  inspectKernel,
  isKernelOlder,
  parseProcessorFeatures,
  releaseOfBzImage,
} from './kernel.ts';

/** The part of a kernel image that its boot protocol defines. */
function bzImage(version: string): Uint8Array {
  const bytes = Buffer.alloc(0x4000);
  bytes.write('HdrS', 0x202, 'latin1');
  bytes.writeUInt16LE(0x3000, 0x20e);
  bytes.write(`${version}\0`, 0x3200, 'latin1');
  return bytes;
}

describe('releaseOfBzImage', () => {
  it('takes the first word of the version string', () => {
    expect(releaseOfBzImage(bzImage('6.1.0-50-amd64 (debian-kernel@lists.debian.org) #1 SMP'))).toBe('6.1.0-50-amd64');
  });

  it('gives nothing for other formats and cut files', () => {
    expect(releaseOfBzImage(new Uint8Array(0x4000))).toBeUndefined();
    expect(releaseOfBzImage(bzImage('x').subarray(0, 0x3100))).toBeUndefined();
    expect(releaseOfBzImage(bzImage('x'.repeat(1000)))).toBeUndefined();
  });
});

describe('inspectKernel', () => {
  it('finds the image of the running kernel, not of another', async () => {
    const files = {
      '/proc/sys/kernel/osrelease': '6.1.0-50-amd64\n',
      '/proc/cmdline': 'ro quiet\n',
      '/boot/vmlinuz-6.1.0-49-amd64': bzImage('6.1.0-49-amd64'),
    };
    expect((await inspectKernel(createMemoryHost({ files }))).image).toBeUndefined();
    const found = await inspectKernel(
      createMemoryHost({ files: { ...files, '/boot/vmlinuz-6.1.0-50-amd64': bzImage('6.1.0-50-amd64 x') } }),
    );
    expect(found).toMatchObject({
      release: '6.1.0-50-amd64',
      architecture: 'x86_64',
      commandLine: 'ro quiet',
      image: { release: '6.1.0-50-amd64' },
    });
  });
});

describe('architectures', () => {
  it.each([
    ['x86_64', 'x86_64'],
    ['i686', 'i386'],
    ['aarch64', 'aarch64'],
    ['armv7l', 'arm'],
    ['armv8l', 'aarch64'],
    ['riscv64', 'unknown'],
  ])('%s is %s', (machine, architecture) => {
    expect(architectureNamed(machine)).toBe(architecture);
  });

  it('reads the machine of an ELF file', async () => {
    const elf = (machine: number) => Uint8Array.from([0x7f, 0x45, 0x4c, 0x46, ...Array(14).fill(0), machine, 0, 0, 0]);
    const host = createMemoryHost({ files: { '/a': elf(62), '/b': elf(40), '/c': '#!/bin/sh', '/d': '' } });
    const found = await Promise.all(['/a', '/b', '/c', '/d', '/none'].map((path) => architectureOfElf(host, path)));
    expect(found).toEqual(['x86_64', 'arm', 'unknown', 'unknown', 'unknown']);
  });
});

describe('isKernelOlder', () => {
  it.each([
    ['3.8.13-bone85', true],
    ['3.16+', true],
    ['3.17-rc1', false],
    ['3.17.0', false],
    ['4.4.0-210-generic', false],
    ['10.1', false],
    ['', true],
  ])('%j before 3.17: %s', (release, expected) => {
    expect(isKernelOlder(release, [3, 17])).toBe(expected);
  });
});

describe('parseProcessorFeatures', () => {
  it('takes the first processor of an ARM kernel', () => {
    const text =
      'processor\t: 0\nmodel name\t: ARMv7 Processor rev 2 (v7l)\nFeatures\t: half thumb neon vfpv3 \n\nFeatures\t: x\n';
    expect(parseProcessorFeatures(text)).toEqual(['half', 'thumb', 'neon', 'vfpv3']);
  });

  it('finds none on a PC', () => expect(parseProcessorFeatures('flags\t\t: fpu vme\n')).toBeUndefined());
});
