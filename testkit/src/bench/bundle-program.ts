import { basename, join } from 'node:path';
import { build } from 'tsup';

/** Flags for little memory, as in init.sh. On a busy machine the collector's own threads would come too late to free buffers. */
export const stage2NodeFlags = [
  '--expose-gc',
  '--single-threaded-gc',
  '--max-semi-space-size=1',
  '--max-old-space-size=64',
] as const;

/**
 * Bundles a program (its path from this folder, without ".ts") into one file in `directory` and returns its path: Node 20 cannot
 * run TypeScript, and a loader would count as the program's own memory.
 */
export async function bundleProgram(name: string, directory: string): Promise<string> {
  const bundled = basename(name);
  await build({
    entry: { [bundled]: join(import.meta.dirname, `${name}.ts`) },
    outDir: directory,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    noExternal: [/.*/],
    outExtension: () => ({ js: '.mjs' }),
    clean: false,
    config: false,
    silent: true,
    esbuildOptions: (options) => {
      options.conditions = ['source'];
    },
    // CommonJS packages inside call require() for Node's own modules, which an ES module does not have.
    banner: {
      js: "import { createRequire as createBundleRequire } from 'node:module'; const require = createBundleRequire(import.meta.url);",
    },
  });
  return join(directory, `${bundled}.mjs`);
}
