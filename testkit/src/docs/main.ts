// pnpm run docs [--check]: writes the generated files of the repository, or tells which are stale (exit 1).
import { mkdir, writeFile } from 'node:fs/promises';
import { generatedFiles, root, staleFiles } from './generated-files.ts';

const [option, ...rest] = process.argv.slice(2);

if (rest.length > 0 || (option !== undefined && option !== '--check')) {
  console.error('usage: pnpm run docs [--check]');
  process.exitCode = 2;
} else if (option === '--check') {
  const stale = await staleFiles();
  for (const path of stale) console.error(`${path} is stale; run: pnpm run docs`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else {
  for (const { path, text } of await generatedFiles()) {
    const file = new URL(path, root);
    await mkdir(new URL('.', file), { recursive: true });
    await writeFile(file, text);
    console.log(path);
  }
}
