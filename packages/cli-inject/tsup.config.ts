import { defineConfig } from 'tsup';

// One file per program with all of its dependencies inside; workspace packages come from their sources. Beside tsc's dist.
// biome-ignore lint/style/noDefaultExport: tsup reads its configuration from there
export default defineConfig({
  entry: { inject: 'src/main.ts' },
  outDir: 'dist/bundle',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  noExternal: [/.*/],
  splitting: false,
  clean: true,
  // Which packages went in, for their licences.
  metafile: true,
  silent: true,
  esbuildOptions(options) {
    options.conditions = ['source'];
  },
  // CommonJS packages inside (commander) call require() for Node's own modules, which an ES module does not have.
  banner: {
    js: `#!/usr/bin/env node
import { createRequire as createBundleRequire } from 'node:module';
const require = createBundleRequire(import.meta.url);`,
  },
});
