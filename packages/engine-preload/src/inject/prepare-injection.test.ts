import { createMemoryHost } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { digest } from '../apps/apps-fixture.ts';
import type { Image } from '../root/read-data-root.ts';
import type { ImageSource } from '../transplant/image-source.ts';
import { type InjectionRequest, prepareInjection } from './prepare-injection.ts';

const image = (character: string, references: readonly string[]): Image => ({
  id: digest(character) as Image['id'],
  references,
  configBytes: new Uint8Array(),
  config: { diffIds: [] } as unknown as Image['config'],
  layers: [],
});

const source: ImageSource = {
  needsRoot: false,
  label: '/var/lib/docker',
  images: [image('1', ['redis:7']), image('2', ['app/main:1']), image('3', [])],
  damaged: [],
  measure: async () => ({ bytes: 0, inodes: 0 }),
  placeLayer: async () => {},
  readArchive: async function* () {},
  writeArchive: async () => {},
  readTarSplit: async function* () {},
  close: async () => {},
};

const compose = (name: string) => ({
  kind: 'compose' as const,
  fileName: 'c.yml',
  text: `services: { main: { image: "${name}" } }`,
});
const connection = { name: 'office', text: '[connection]\nid=office\ntype=ethernet\n' };

function prepare(request: Partial<InjectionRequest>, files: Record<string, string> = {}) {
  const host = createMemoryHost({ files: { '/data/docker/.keep/x': '', ...files } });
  return prepareInjection(host, { source, resinData: '/data', connections: [], ...request });
}

describe('an injection', () => {
  it('takes all images that have a name, and knows which of them no service uses', async () => {
    const { injection, inputFindings, targetFindings } = await prepare({ apps: compose('app/main:1') });
    expect([...inputFindings, ...targetFindings]).toEqual([]);
    expect(injection.images.map(({ references }) => references)).toEqual([['redis:7'], ['app/main:1']]);
    expect(injection.unused.map(({ references }) => references)).toEqual([['redis:7']]);
    expect(injection.appsJson?.serviceNames).toEqual(['main']);
  });

  it('refuses a service whose image is not taken along', async () => {
    const { targetFindings } = await prepare({ names: ['redis:7'], apps: compose('app/main:1') });
    expect(targetFindings.map(({ code, message }) => `${code}: ${message}`)).toEqual([
      'apps-image-missing: the image app/main:1 is not there',
    ]);
  });

  it('tells faults of what was given from what stands on the partitions', async () => {
    const { injection, inputFindings, targetFindings } = await prepare(
      { apps: compose('$X'), connections: [connection], resinBoot: '/boot' },
      { '/boot/system-connections/office': 'another', '/data/apps.json.preloaded': '{}' },
    );
    expect(injection.appsJson).toBeUndefined();
    expect(inputFindings.map(({ code }) => code)).toEqual(['compose-variable', 'compose-image']);
    expect(targetFindings.map(({ severity, code }) => `${severity} ${code}`)).toEqual([
      'error boot-file-exists',
      'warning booted-before',
    ]);
  });

  it.each([
    ['refuse', ['error name-taken', 'error apps-image-missing']],
    ['keep', ['error apps-image-missing']],
    ['move', []],
  ] as const)('with a name that is taken there: %s', async (onTakenName, expected) => {
    // The target's image is damaged, so that only a name that moves leads to an image.
    const taken = JSON.stringify({ Repositories: { redis: { 'redis:7': digest('9') } } });
    const { injection, targetFindings } = await prepare(
      { onTakenName, apps: compose('redis:7') },
      { '/data/docker/image/overlay2/repositories.json': taken },
    );
    expect(injection.takenNames).toEqual([{ reference: 'redis:7', target: digest('9'), source: digest('1') }]);
    expect(targetFindings.map(({ severity, code }) => `${severity} ${code}`)).toEqual(expected);
  });

  it.each<[string, Partial<InjectionRequest>, RegExp]>([
    ['an unknown image', { names: ['nobody'] }, /there is no image "nobody"/],
    ['no resin-data', { resinData: '/elsewhere' }, /is \/elsewhere the root of a mounted resin-data partition/],
    ['connections without a place', { connections: [connection] }, /where resin-boot is mounted/],
  ])('refuses %s', async (_name, request, message) => {
    await expect(prepare(request)).rejects.toThrow(message);
  });
});
