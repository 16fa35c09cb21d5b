import { defineConfig } from 'vitest/config';

const shared = { resolve: { conditions: ['source'] }, ssr: { resolve: { conditions: ['source'] } } };

/** Seconds at most on an idle machine; a loaded one is no reason to fail. */
const limits = { testTimeout: 60_000, hookTimeout: 60_000, setupFiles: ['testkit/src/property-seed.ts'] };

// unit: our code alone, no root, seconds. tools: against programs of others on image files, and damage at random, no root.
// disk: root and loop devices. machine: emulated machines, minutes.
export default defineConfig({
  test: {
    // Vitest would leave one of two processors idle; emulated machines run side by side.
    maxWorkers: 2,
    minWorkers: 1,
    projects: [
      { ...shared, test: { name: 'unit', include: ['{packages/*,testkit}/src/**/*.test.ts'], ...limits } },
      { ...shared, test: { name: 'tools', include: ['{packages/*,testkit}/src/**/*.tools.ts'], ...limits } },
      {
        ...shared,
        test: { name: 'disk', include: ['testkit/src/**/*.disk.ts'], testTimeout: 240_000, hookTimeout: 240_000 },
      },
      {
        ...shared,
        test: {
          name: 'machine',
          include: ['testkit/src/**/*.machine.ts'],
          testTimeout: 900_000,
          hookTimeout: 900_000,
          pool: 'forks',
        },
      },
    ],
  },
});
