// The self-contained bundle: what a machine needs to run migrate, whatever its libraries and kernel (from 3.2 on, 3.17 on 64-bit ARM).

import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import { appPart } from './app-part.ts';
import { architectures, type BundleArchitecture, type BundleArchitectureName, windowsNode } from './architectures.ts';
import { type DebianPackage, debianPackages } from './debian-part.ts';
import { kernelPackage, kernelPart } from './kernel-part.ts';
import { grubPackages, lifeboatPart } from './lifeboat-part.ts';
import { windowsNodePart } from './node-part.ts';
import { noFile, preloadFile } from './preload-file.ts';
import { runtimePart } from './runtime-part.ts';

const repository = join(import.meta.dirname, '../../..');
const cli = join(repository, 'packages/cli-migrate');

/** Name of the bundle's directory, and of its archive without `.tar.gz`. */
export function bundleName(architecture: BundleArchitectureName): string {
  return `migrate-linux-${architecture}`;
}

/** Makes `<parent>/migrate-linux-…` anew from source and returns its path. */
export async function makeBundle(parent: string, name: BundleArchitectureName = 'x64'): Promise<string> {
  const architecture = architectures[name];
  const bundle = join(parent, bundleName(name));
  const packages = await fillBundle(bundle, architecture);
  await copyFile(join(cli, 'runtime/migrate'), join(bundle, 'migrate'));
  // The launcher reads it to say which bundle would be right where this one does not run.
  await writeFile(join(bundle, 'runtime/architecture'), `${name}\n`);
  await describeContents(bundle, architecture, packages);
  await normalizeModes(bundle, ['migrate']);
  return bundle;
}

/** Name of the directory of the bundle for Windows, and of its archive without `.tar.gz`. */
export const windowsBundleName = 'migrate-windows-x64';

/**
 * Makes `<parent>/migrate-windows-x64` anew from source and returns its path. Beside what a bundle for Linux has, for stage 2, it
 * has Node for Windows and, in boot/, the kernel, its drivers and the boot loader that Windows cannot lend.
 */
export async function makeWindowsBundle(parent: string): Promise<string> {
  const architecture = { ...architectures.x64, needsShim: false, hasLifeboat: false };
  const bundle = join(parent, windowsBundleName);
  const licenses = join(bundle, 'LICENSES');
  const kernel = await kernelPackage();
  const packages = await fillBundle(bundle, architecture);
  await mkdir(join(bundle, 'windows'));
  await copyFile(join(await windowsNodePart(windowsNode), 'node.exe'), join(bundle, 'windows/node.exe'));
  await copyFile(join(cli, 'runtime/migrate.cmd'), join(bundle, 'migrate.cmd'));
  await kernelPart(kernel, join(bundle, 'boot'), licenses);
  const grub = await lifeboatPart();
  await copyFile(join(grub, 'grubx64.efi'), join(bundle, 'boot/grubx64.efi'));
  await copyFile(join(grub, 'BOOTX64.EFI'), join(bundle, 'runtime/lifeboat/BOOTX64.EFI'));
  await copyFile(join(grub, 'grub.txt'), join(licenses, 'grub.txt'));
  const { name, version } = kernel;
  await describeContents(bundle, architecture, [...packages, ...(await grubPackages()), { name, version }]);
  await normalizeModes(bundle, []);
  return bundle;
}

/** Makes a bundle anew with what all of them have; returns Debian's packages in it. */
async function fillBundle(bundle: string, architecture: BundleArchitecture): Promise<readonly DebianPackage[]> {
  await rm(bundle, { recursive: true, force: true });
  await mkdir(join(bundle, 'runtime'), { recursive: true });
  const licenses = join(bundle, 'LICENSES');
  const packages = await debianPackages(architecture);
  await runtimePart(architecture, packages, join(bundle, 'runtime'), licenses);
  if (architecture.hasLifeboat) await addLifeboat(join(bundle, 'runtime/lifeboat'), licenses);
  await appPart(join(bundle, 'app'), licenses);
  // init lets the programs beside it find the loader there, and the C library's iconv the one table that is needed.
  await writeFile(join(bundle, 'runtime/file-systems/loader'), `${architecture.loader}\n`);
  await writeFile(join(bundle, 'runtime/file-systems/gconv/gconv-modules'), gconvModules);
  await copyFile(join(repository, 'LICENSE'), join(licenses, 'migrate.txt')).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== 'ENOENT') throw thrown;
  });
  return architecture.hasLifeboat ? [...packages, ...(await grubPackages())] : packages;
}

async function describeContents(
  bundle: string,
  architecture: BundleArchitecture,
  packages: readonly DebianPackage[],
): Promise<void> {
  await writeFile(join(bundle, 'VERSION'), await versions(architecture, packages));
  await writeFile(join(bundle, 'LICENSES/SOURCES'), sources(architecture, packages));
}

async function addLifeboat(target: string, licenses: string): Promise<void> {
  const directory = await lifeboatPart();
  for (const name of ['boot.img', 'core.img', 'BOOTX64.EFI']) await copyFile(join(directory, name), join(target, name));
  await copyFile(join(directory, 'grub.txt'), join(licenses, 'grub.txt'));
}

/** As in Debian's gconv-modules-extra.conf: "module FROM TO FILE COST". */
const gconvModules = 'alias CP850// IBM850//\nmodule IBM850// INTERNAL IBM850 1\nmodule INTERNAL IBM850// IBM850 1\n';

/** Packs a bundle so that equal contents give an equal file; returns the path of the archive beside it. */
export async function packBundle(bundle: string): Promise<string> {
  const archive = `${bundle}.tar.gz`;
  const sameAlways = [
    '--sort=name',
    '--mtime=2000-01-01T00:00:00Z',
    '--owner=0',
    '--group=0',
    '--numeric-owner',
    '--format=ustar',
  ];
  // pigz gives the same bytes however many processors there are; -9 would take thrice the time for 1 % less.
  const compressor = ['--use-compress-program', 'pigz --no-name'];
  await execa('tar', ['-cf', archive, ...sameAlways, ...compressor, '-C', dirname(bundle), basename(bundle)]);
  return archive;
}

async function versions({ node }: BundleArchitecture, packages: readonly DebianPackage[]): Promise<string> {
  const { version } = JSON.parse(await readFile(join(cli, 'package.json'), 'utf8')) as { version: string };
  const parts = [{ name: 'migrate', version }, { name: 'node', version: node.version }, ...packages];
  return parts.map((part) => `${part.name} ${part.version}\n`).join('');
}

function sources({ node, debian }: BundleArchitecture, packages: readonly DebianPackage[]): string {
  const lines = packages.map(({ name, version }) => `${name} ${version}: apt-get source ${name}=${version}\n`);
  return `The runtime, and boot/ where there is one, hold files of these packages of Debian 12 (${debian}). Their source code is in Debian's archive, kept for ever
at https://snapshot.debian.org/. They are unchanged, but for ld.so of libc6, in which the name
${preloadFile} is replaced by ${noFile}:

${lines.join('')}
Node.js ${node.version} is the official build (npm package ${node.name}), stripped; its source code is at
https://nodejs.org/dist/v${node.version}/
`;
}

/** The umask of who builds must not show. */
async function normalizeModes(bundle: string, launchers: readonly string[]): Promise<void> {
  await execa('chmod', ['-R', 'u=rwX,go=rX', bundle]);
  const programs = [...launchers, 'app/init', 'runtime/node', 'runtime/busybox', 'runtime/ld.so'];
  for (const program of programs) await execa('chmod', ['755', join(bundle, program)]);
}
