// Which bundles go into a kit.
import {
  type Architecture,
  architectureOfElfHead,
  elfHeadBytes,
  error,
  type Finding,
  type HostReader,
  MigrateError,
} from '@migrate/core';
import { bundleFiles } from './bundle-files.ts';
import { bundleNameOf } from './kit-layout.ts';

export interface Bundle {
  /** Directory or archive. */
  readonly path: string;
  readonly architecture: Architecture;
}

export interface BundleSearch {
  /** Directories or archives that the user names; empty: look for them. */
  readonly named: readonly string[];
  /** Directories that bundles, or archives of them, may lie in; the first that is found counts. */
  readonly places: readonly string[];
  /** What the old system of the device may run; any of them will do. */
  readonly architectures: readonly Architecture[];
}

const neededFiles = ['migrate', 'app/migrate.js', 'app/stage2.js', 'app/init', 'runtime/node', 'runtime/busybox'];

/** Bundles for all architectures of the device that can be had, and what stands against them. */
export async function findBundles(
  host: HostReader,
  { named, places, architectures }: BundleSearch,
): Promise<{ readonly bundles: readonly Bundle[]; readonly findings: readonly Finding[] }> {
  const findings: Finding[] = [];
  const bundles: Bundle[] = [];
  const candidates = named.length > 0 ? named : await lookFor(host, places, architectures);
  for (const path of candidates) {
    try {
      const architecture = await architectureOfBundle(host, path);
      const twin = bundles.find((bundle) => bundle.architecture === architecture);
      if (!architectures.includes(architecture)) findings.push(otherArchitecture(path, architecture, architectures));
      else if (twin !== undefined) findings.push(twice(path, twin));
      else bundles.push({ path, architecture });
    } catch (thrown) {
      if (!(thrown instanceof MigrateError)) throw thrown;
      findings.push(error('bundle-unreadable', path, thrown.message, 'Name the unpacked bundle or its .tar.gz'));
    }
  }
  if (bundles.length === 0 && findings.length === 0) findings.push(none(places, architectures));
  return { bundles, findings };
}

async function lookFor(
  host: HostReader,
  places: readonly string[],
  architectures: readonly Architecture[],
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of architectures.flatMap((architecture) => bundleNameOf(architecture) ?? [])) {
    for (const path of places.flatMap((place) => [`${place}/${name}`, `${place}/${name}.tar.gz`])) {
      if ((await host.status(path)) === undefined) continue;
      found.push(path);
      break;
    }
  }
  return found;
}

/** Reads all names of a bundle, and what its busybox is built for (ELF specification, e_machine). */
async function architectureOfBundle(host: HostReader, path: string): Promise<Architecture> {
  const names = new Set<string>();
  let architecture: Architecture = 'unknown';
  for await (const file of bundleFiles(host, path)) {
    names.add(file.path);
    if (file.path === 'runtime/busybox') architecture = await architectureOf(file.contents());
  }
  const missing = neededFiles.filter((name) => !names.has(name));
  if (missing.length > 0)
    throw new MigrateError('invalid-input', `${path} is not complete: it lacks ${missing.join(', ')}`);
  if (bundleNameOf(architecture) === undefined)
    throw new MigrateError('invalid-input', `${path} does not tell which machines it is for`);
  return architecture;
}

async function architectureOf(contents: AsyncIterable<Uint8Array>): Promise<Architecture> {
  let head = Buffer.alloc(0);
  for await (const chunk of contents) {
    head = Buffer.concat([head, chunk.subarray(0, elfHeadBytes)]);
    if (head.length >= elfHeadBytes) break;
  }
  return architectureOfElfHead(head);
}

function otherArchitecture(path: string, found: Architecture, wanted: readonly Architecture[]): Finding {
  return error(
    'bundle-architecture',
    path,
    `it is for ${found} machines; the device is ${wanted.join(' or ')}`,
    'Name the bundle for the kernel that the device runs now (uname -m)',
  );
}

function twice(path: string, twin: Bundle): Finding {
  const hint = 'Name one of them only';
  return error('bundle-twice', path, `${twin.path} is for ${twin.architecture} machines as well`, hint);
}

function none(places: readonly string[], architectures: readonly Architecture[]): Finding {
  const names = architectures.flatMap((architecture) => bundleNameOf(architecture) ?? []);
  const looked = `none of ${names.join(', ')} (or .tar.gz) is in ${places.join(', ') || 'any place'}`;
  return error('bundle-missing', 'bundle', looked, 'Name the bundle with --bundle; "pnpm bundle" makes it');
}
