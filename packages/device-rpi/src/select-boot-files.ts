// Which files of the boot partition the firmware starts (raspberrypi/documentation, config_txt/boot.adoc).
import type { Evaluation } from './evaluate-config.ts';
import type { PiModel } from './models.ts';

export interface BootSelection {
  /** os_prefix as far as the firmware honours it; names below have it already. */
  readonly prefix: string;
  readonly kernel: string;
  readonly deviceTree?: string;
  readonly commandLineFile: string;
}

/** Kernel names by which the firmware itself knows the word size. */
const knownKernels: Readonly<Record<string, 'arm' | 'aarch64'>> = {
  'kernel.img': 'arm',
  'kernel7.img': 'arm',
  'kernel7l.img': 'arm',
  'kernel8.img': 'aarch64',
  'kernel_2712.img': 'aarch64',
};

/**
 * The files that are started, or why that cannot be said. `architecture` is that of the running kernel: what the firmware takes
 * where config.txt says nothing changed with its age, and the kernel is the proof of what this one does.
 */
export function selectBootFiles(
  evaluation: Evaluation,
  {
    model,
    architecture,
    exists,
  }: { model: PiModel; architecture: 'arm' | 'aarch64'; exists: (name: string) => boolean },
): BootSelection | string {
  const { settings } = evaluation;
  const claimed = claimedArchitecture(settings);
  if (claimed !== undefined && claimed !== architecture)
    return `it asks for a kernel for ${claimed}, but one for ${architecture} is running`;
  if (settings.get('upstream_kernel') === '1') return 'upstream_kernel=1 is set';
  const kernels = settings.has('kernel') ? [settings.get('kernel') ?? ''] : model.kernels[architecture];
  const trees = settings.has('device_tree') ? [settings.get('device_tree') ?? ''] : model.deviceTrees;
  const wanted = settings.get('os_prefix') ?? '';
  const under = (prefix: string, names: readonly string[]): string | undefined =>
    names.map((name) => prefixed(prefix, name)).find(exists);
  // The prefix is ignored unless both kernel and device tree are found under it.
  const prefix = under(wanted, kernels) !== undefined && under(wanted, trees) !== undefined ? wanted : '';
  const kernel = under(prefix, kernels);
  if (kernel === undefined) return `the kernel it asks for is not there (${kernels.join(', ') || 'none is known'})`;
  const deviceTree = under(prefix, trees);
  const commandLineFile = prefixed(prefix, settings.get('cmdline') ?? 'cmdline.txt');
  return { prefix, kernel, ...(deviceTree === undefined ? {} : { deviceTree }), commandLineFile };
}

/** A leading slash escapes the prefix. */
function prefixed(prefix: string, name: string): string {
  return name.startsWith('/') ? name.slice(1) : prefix + name;
}

function claimedArchitecture(settings: ReadonlyMap<string, string>): 'arm' | 'aarch64' | undefined {
  const flag = settings.get('arm_64bit');
  if (flag !== undefined) return flag === '0' ? 'arm' : 'aarch64';
  if (settings.get('arm_control')?.toLowerCase() === '0x200') return 'aarch64';
  const kernel = settings.get('kernel');
  return kernel === undefined ? undefined : knownKernels[kernel.slice(kernel.lastIndexOf('/') + 1)];
}
