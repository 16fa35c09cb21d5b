import { join } from 'node:path';
import { build } from 'tsup';

/** The flags that stage 2 runs with. */
export const stage2NodeFlags = ['--max-semi-space-size=1', '--max-old-space-size=64'] as const;

/**
 * Bundles a program of this folder into one file in `directory` and returns its path: Node 20 cannot run TypeScript, and a
 * loader would count as the program's own memory.
 */
export async function bundleProgram(name: string, directory: string): Promise<string> {
  await build({
    entry: { [name]: join(import.meta.dirname, `${name}.ts`) },
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
  return join(directory, `${name}.mjs`);
}
