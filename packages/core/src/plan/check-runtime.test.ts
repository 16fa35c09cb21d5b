import { describe, expect, it } from 'vitest';
import type { RuntimeAsset } from '../assets/assets.ts';
import type { Architecture, Facts } from '../machine/facts.ts';
import { checkRuntime } from './check-runtime.ts';

interface Machine {
  readonly kernel: Architecture;
  readonly userland?: Architecture;
  readonly release?: string;
  readonly features?: readonly string[];
}

function factsOf({ kernel, userland = kernel, release = '6.1.0', features }: Machine): Facts {
  return {
    version: 1,
    userId: 0,
    hostname: 'board',
    os: { id: 'debian', versionId: '12', prettyName: 'Debian', idLike: [] },
    kernel: { release, architecture: kernel, commandLine: '' },
    userland,
    memory: { totalBytes: 0, availableBytes: 0 },
    firmware: { kind: 'device-tree' },
    hardware: features === undefined ? {} : { processorFeatures: features },
    disks: [],
    mounts: [],
    swaps: [],
    places: [],
    bootFiles: [],
    modules: { needed: [], missing: [] },
    inContainer: false,
  };
}

const x64 = bundleOf('x86_64', 'runtime/getentropy.so');
const arm64 = bundleOf('aarch64');
const armv7 = bundleOf('arm', 'runtime/getentropy.so');

function bundleOf(architecture: Architecture, ...paths: readonly string[]): RuntimeAsset {
  const files = paths.map((path) => ({ path, sizeBytes: 1, isExecutable: false }));
  return { directory: '/opt/bundle', architecture, files };
}

const found = (machine: Machine, runtime: RuntimeAsset) =>
  checkRuntime(factsOf(machine), runtime).map(({ code, hint }) => `${code}: ${hint}`);

/** /proc/cpuinfo of a BeagleBone Black, and of a Raspberry Pi 1. */
const cortexA8 = 'swp half thumb fastmult vfp edsp thumbee neon vfpv3 tls'.split(' ');
const arm1176 = 'half thumb fastmult vfp edsp java tls'.split(' ');

describe('the bundle on a machine', () => {
  it.each<[string, Machine, RuntimeAsset]>([
    ['x64 on a PC', { kernel: 'x86_64' }, x64],
    ['arm64 on 64 bits', { kernel: 'aarch64' }, arm64],
    ['arm64 under a 32-bit system', { kernel: 'aarch64', userland: 'arm' }, arm64],
    ['armv7 on 32 bits', { kernel: 'arm', features: cortexA8 }, armv7],
    ['armv7 under a 32-bit system on a 64-bit kernel', { kernel: 'aarch64', userland: 'arm', features: ['fp'] }, armv7],
    ['armv7 on a kernel without getrandom', { kernel: 'arm', release: '3.8.13-bone85', features: cortexA8 }, armv7],
    ['armv7 where the features are not known', { kernel: 'arm' }, armv7],
  ])('%s is right', (_, machine, runtime) => {
    expect(found(machine, runtime)).toEqual([]);
  });

  it.each<[string, Machine, RuntimeAsset, string]>([
    ['x64 on 32-bit ARM', { kernel: 'arm' }, x64, 'Use the bundle migrate-linux-armv7'],
    ['x64 on 64-bit ARM', { kernel: 'aarch64' }, x64, 'Use the bundle migrate-linux-arm64'],
    ['arm64 on a 32-bit kernel', { kernel: 'arm' }, arm64, 'Use the bundle migrate-linux-armv7'],
    ['armv7 on a PC', { kernel: 'x86_64' }, armv7, 'Use the bundle migrate-linux-x64'],
    ['armv7 where nothing runs 32-bit programs', { kernel: 'aarch64' }, armv7, 'Use the bundle migrate-linux-arm64'],
    ['x64 on a 32-bit PC', { kernel: 'i386' }, x64, 'There is no bundle for this machine'],
  ])('%s is refused, naming the right one', (_, machine, runtime, hint) => {
    expect(found(machine, runtime)).toEqual([`runtime-architecture: ${hint}`]);
  });

  it('armv7 is refused on ARMv6', () => {
    const expected = ['runtime-processor: There is no bundle for this machine'];
    expect(found({ kernel: 'arm', features: arm1176 }, armv7)).toEqual(expected);
  });

  it('arm64 has no shim for kernels without getrandom', () => {
    expect(found({ kernel: 'aarch64', release: '3.16.0-4-arm64' }, arm64)).toEqual([
      'kernel-too-old: Upgrade the kernel first',
    ]);
    expect(found({ kernel: 'aarch64', release: '3.17.0' }, arm64)).toEqual([]);
  });
});
