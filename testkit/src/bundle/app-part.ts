// migrate and balena-stage2 as one file each, with the licences of the packages that went into them.

import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { execa } from 'execa';

const repository = join(import.meta.dirname, '../../..');
const cli = join(repository, 'packages/cli-migrate');

/** Builds from source and copies migrate.js, stage2.js and init into `app`, licence texts into `licenses`. */
export async function appPart(app: string, licenses: string): Promise<void> {
  // A directory of its own: tests that run at the same time make bundles too.
  const built = await mkdtemp(join(tmpdir(), 'bundle-app-'));
  try {
    await execa('tsup', ['--out-dir', built], { cwd: cli, preferLocal: true, localDir: repository });
    await place(built, app);
    await copyLicenses(join(built, 'metafile-esm.json'), licenses);
  } finally {
    await rm(built, { recursive: true, force: true });
  }
}

async function place(built: string, app: string): Promise<void> {
  await mkdir(app, { recursive: true });
  for (const program of ['migrate.js', 'stage2.js']) await copyFile(join(built, program), join(app, program));
  await copyFile(join(cli, 'init/init.sh'), join(app, 'init'));
  await copyFile(join(cli, 'init/network.sh'), join(app, 'network'));
  // Makes Node take the files for ES modules at once.
  await writeFile(join(app, 'package.json'), '{ "type": "module" }\n');
}

async function copyLicenses(metafile: string, licenses: string): Promise<void> {
  const { inputs } = JSON.parse(await readFile(metafile, 'utf8')) as { inputs: Record<string, unknown> };
  const packages = new Set(
    Object.keys(inputs).flatMap((path) => path.match(/^.*\/node_modules\/(@[^/]+\/)?[^/]+(?=\/)/)?.[0] ?? []),
  );
  for (const directory of packages) {
    const source = join(cli, directory);
    const text = (await readdir(source)).find((name) => /^licen[cs]e/i.test(name));
    if (text === undefined) throw new Error(`${source} goes into the bundle but holds no licence text`);
    await mkdir(licenses, { recursive: true });
    await copyFile(join(source, text), join(licenses, `${basename(directory)}.txt`));
  }
}
