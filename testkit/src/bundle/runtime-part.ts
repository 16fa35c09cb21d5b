// The runtime directory: Node with its own loader and libraries, busybox, and where old kernels may be, the getentropy shim.

import { copyFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import type { BundleArchitecture } from './architectures.ts';
import { type DebianPackage, debianPart } from './debian-part.ts';
import { nodePart } from './node-part.ts';

const shimSource = join(import.meta.dirname, '../../../packages/cli-migrate/runtime/getentropy.c');

/** Fills `runtime` and adds the licence texts of what is in it to `licenses`. */
export async function runtimePart(
  architecture: BundleArchitecture,
  packages: readonly DebianPackage[],
  runtime: string,
  licenses: string,
): Promise<void> {
  const [node, debian] = [await nodePart(architecture), await debianPart(architecture, packages)];
  await mkdir(licenses, { recursive: true });
  await execa('cp', ['-r', `${debian}/runtime/.`, runtime]);
  await execa('cp', ['-r', `${debian}/licenses/.`, licenses]);
  await copyFile(join(node, 'node'), join(runtime, 'node'));
  await copyFile(join(node, 'LICENSE'), join(licenses, 'node.txt'));
  if (architecture.needsShim) await buildShim(architecture, join(runtime, 'getentropy.so'));
}

/** No C library to link with, no build id and one segment: 5 KB, and the same bytes on every build with one compiler. */
async function buildShim({ triplet }: BundleArchitecture, target: string): Promise<void> {
  const small = ['-Os', '-s', '-Wl,--build-id=none', '-Wl,-z,noseparate-code'];
  const library = ['-shared', '-nostdlib', '-fPIC', '-Wall', '-Werror'];
  await execa(`${triplet}-gcc`, [...library, ...small, '-o', target, shimSource]);
}
