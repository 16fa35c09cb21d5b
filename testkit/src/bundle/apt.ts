// apt for another architecture than this machine's, without `dpkg --add-architecture`: lists and cache of its own.

import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';

const machineLists = '/var/lib/apt/lists';

/** Options that make apt-get see Debian's packages of an architecture; none for this machine's own. */
export async function aptOptions(architecture: string): Promise<readonly string[]> {
  const { stdout: own } = await execa('dpkg', ['--print-architecture']);
  if (architecture === own) return [];
  // As fresh as this machine's own lists: both are fetched anew by the next `apt-get update`.
  const inputs = [architecture, await hashOfMachineLists()];
  return optionsFor(
    await cached('apt-lists', inputs, (directory) => fetchLists(directory, architecture)),
    architecture,
  );
}

function optionsFor(directory: string, architecture: string): readonly string[] {
  const settings = [
    `APT::Architecture=${architecture}`,
    `APT::Architectures=${architecture}`,
    `Dir::State::Lists=${directory}/lists`,
    `Dir::State::status=${directory}/status`,
    `Dir::Cache=${directory}/cache`,
    'APT::Sandbox::User=root',
    'Acquire::Languages=none',
  ];
  return settings.flatMap((setting) => ['-o', setting]);
}

async function fetchLists(directory: string, architecture: string): Promise<void> {
  await mkdir(join(directory, 'lists/partial'), { recursive: true });
  await mkdir(join(directory, 'cache'));
  await writeFile(join(directory, 'status'), '');
  const update = await execa('apt-get', [...optionsFor(directory, architecture), 'update'], { reject: false });
  if (update.exitCode === 0) return;
  // One list that cannot be had (a mirror in the middle of its update) is no reason to stop; a package that is missing is.
  const lists = await readdir(join(directory, 'lists'));
  if (!lists.some((name) => name.includes(`_binary-${architecture}_`))) {
    throw new Error(`apt-get update for ${architecture} failed: ${update.stderr}`);
  }
  console.warn(`apt-get update for ${architecture} is not complete: ${update.stderr.split('\n')[0]}`);
}

async function hashOfMachineLists(): Promise<string> {
  const releases = (await readdir(machineLists)).filter((name) => name.endsWith('InRelease')).sort();
  const hash = createHash('sha256');
  for (const name of releases) hash.update(name).update(await readFile(join(machineLists, name)));
  return hash.digest('hex');
}
