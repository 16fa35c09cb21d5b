import { defineConfig } from 'vitest/config';
import { LongestFirst } from './testkit/src/longest-first.ts';

const shared = { resolve: { conditions: ['source'] }, ssr: { resolve: { conditions: ['source'] } } };

/** Seconds at most on an idle machine; a loaded one is no reason to fail. */
const limits = { testTimeout: 60_000, hookTimeout: 60_000, setupFiles: ['testkit/src/property-seed.ts'] };

/** Two at a time take longer. */
const diskLimits = { testTimeout: 240_000, hookTimeout: 240_000 };

/** Disk tests that start containers or namespaces, which hold all mounts of other tests for a moment: they come after those. */
const withNamespaces = ['testkit/src/engine/*.disk.ts', 'testkit/src/bundle*.disk.ts', 'testkit/src/fleet/*.disk.ts'];

// unit: our code alone, no root, seconds. tools: against programs of others on image files, and damage at random, no root.
// disk: root and loop devices. machine: emulated machines, minutes.
export default defineConfig({
  test: {
    // Vitest would leave one of two processors idle; emulated machines run side by side.
    maxWorkers: 2,
    minWorkers: 1,
    sequence: { sequencer: LongestFirst },
    projects: [
      { ...shared, test: { name: 'unit', include: ['{packages/*,testkit}/src/**/*.test.ts'], ...limits } },
      { ...shared, test: { name: 'tools', include: ['{packages/*,testkit}/src/**/*.tools.ts'], ...limits } },
      {
        ...shared,
        test: { name: 'disk', include: ['testkit/src/**/*.disk.ts'], exclude: withNamespaces, ...diskLimits },
      },
      {
        ...shared,
        test: { name: 'disk-namespaces', include: withNamespaces, ...diskLimits, sequence: { groupOrder: 1 } },
      },
      {
        ...shared,
        test: {
          name: 'machine',
          include: ['testkit/src/**/*.machine.ts'],
          testTimeout: 900_000,
          hookTimeout: 900_000,
          pool: 'forks',
          maxConcurrency: 3,
        },
      },
    ],
  },
});
