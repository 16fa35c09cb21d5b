import type { RuntimeAsset } from '../assets/assets.ts';
import type { Architecture, Facts } from '../machine/facts.ts';
import { isKernelOlder } from '../machine/kernel.ts';
import { error } from './check-machine.ts';
import type { Finding } from './finding.ts';

/** The bundle for each architecture that there is one for. */
const bundles: Readonly<Partial<Record<Architecture, string>>> = {
  x86_64: 'migrate-linux-x64',
  aarch64: 'migrate-linux-arm64',
  arm: 'migrate-linux-armv7',
};

/** getrandom(2) came with it; older ones need the bundle's shim, which not every bundle has. */
const getrandomKernel = [3, 17] as const;

/** Stage 2 is started by the running kernel: one that cannot run its programs would panic instead. */
export function checkRuntime(facts: Facts, runtime: RuntimeAsset | undefined): readonly Finding[] {
  if (runtime?.architecture === undefined) return [];
  return [
    ...checkArchitecture(facts, runtime, runtime.architecture),
    ...checkProcessor(facts, runtime.architecture),
    ...checkShim(facts, runtime),
  ];
}

function checkArchitecture(facts: Facts, runtime: RuntimeAsset, built: Architecture): Finding[] {
  const kernel = facts.kernel.architecture;
  // A 64-bit ARM kernel may be built without CONFIG_COMPAT; a 32-bit system that runs on it shows that it is not.
  if (built === kernel || (kernel === 'aarch64' && built === 'arm' && facts.userland === 'arm')) return [];
  const bundle = bundles[kernel];
  return [
    error(
      'runtime-architecture',
      runtime.directory,
      `its programs are for ${built}, but the running kernel is for ${kernel}`,
      bundle === undefined ? 'There is no bundle for this machine' : `Use the bundle ${bundle}`,
    ),
  ];
}

/** Node for 32-bit ARM is compiled for ARMv7 with NEON: readelf -A names Tag_CPU_arch v7, Tag_Advanced_SIMD_arch NEONv1. */
function checkProcessor(facts: Facts, built: Architecture): Finding[] {
  const features = facts.hardware.processorFeatures;
  if (built !== 'arm' || facts.kernel.architecture !== 'arm' || features === undefined || features.includes('neon')) {
    return [];
  }
  return [
    error(
      'runtime-processor',
      '/proc/cpuinfo',
      'the processor lacks NEON, which Node.js needs on 32-bit ARM (ARMv6, as in a Raspberry Pi 1 or Zero, never has it)',
      'There is no bundle for this machine',
    ),
  ];
}

function checkShim({ kernel }: Facts, { files }: RuntimeAsset): Finding[] {
  const hasShim = files.some((file) => file.path === 'runtime/getentropy.so');
  if (hasShim || !isKernelOlder(kernel.release, getrandomKernel)) return [];
  return [
    error(
      'kernel-too-old',
      kernel.release,
      `the programs of this bundle need Linux ${getrandomKernel.join('.')} or newer`,
      'Upgrade the kernel first',
    ),
  ];
}
