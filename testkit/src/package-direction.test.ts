import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
/** Each package may depend on those before it, and on nothing beside or after it. */
const layers: readonly (readonly string[])[] = [
  ['@migrate/core'],
  [
    '@migrate/image-tools',
    '@migrate/engine-preload',
    '@migrate/device-rpi',
    '@migrate/device-beagle',
    '@migrate/device-x86',
    '@migrate/windows-efi',
  ],
  ['@migrate/cli-migrate', '@migrate/cli-extract', '@migrate/cli-inject'],
];

function layerOf(name: string): number {
  return layers.findIndex((layer) => layer.includes(name));
}

interface Manifest {
  readonly name: string;
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
}

const manifests = readdirSync(join(root, 'packages')).map(
  (folder) => JSON.parse(readFileSync(join(root, 'packages', folder, 'package.json'), 'utf8')) as Manifest,
);

describe('the direction of dependencies', () => {
  it('has a place for every package', () => {
    expect(manifests.length).toBeGreaterThan(3);
    for (const { name } of manifests) expect(layerOf(name), name).toBeGreaterThanOrEqual(0);
  });

  it('leads from command lines to core only: no sibling, nobody on a command line', () => {
    for (const { name, dependencies = {} } of manifests) {
      for (const dependency of Object.keys(dependencies)) {
        if (dependency.startsWith('@migrate/'))
          expect(layerOf(dependency), `${name} on ${dependency}`).toBeLessThan(layerOf(name));
        expect(dependency, name).not.toBe('testkit');
      }
    }
  });

  it('keeps core to the libraries that were chosen', () => {
    const core = manifests.find(({ name }) => name === '@migrate/core');
    expect(Object.keys(core?.dependencies ?? {}).sort()).toEqual([
      'ajv',
      'execa',
      'fzstd',
      'json-schema-to-ts',
      're2js',
      'yaml',
    ]);
  });
});
