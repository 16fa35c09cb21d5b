import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { chainIds, type Digest, digestOf, hexOf } from '../root/digest.ts';
import type { Layer } from '../root/layer-store.ts';
import type { Image } from '../root/read-data-root.ts';
import { type NewNames, planTransplant, type TargetState } from './plan-transplant.ts';

const linkOf = (text: string): string => hexOf(digestOf(text)).toUpperCase().slice(0, 26);

/** An image whose layers are named by letters, lowest first: "ab" and "ac" share "a". */
function image(letters: string, more: Partial<Image> = {}): Image {
  const diffIds = [...letters].map((letter) => digestOf(letter));
  const layers = chainIds(diffIds).map((chainId, index, chain): Layer => {
    const parent = chain[index - 1];
    return {
      chainId,
      diffId: diffIds[index] ?? chainId,
      ...(parent === undefined ? {} : { parent }),
      cacheId: hexOf(digestOf(`cache ${chainId}`)),
      link: linkOf(chainId),
      sizeBytes: 1,
    };
  });
  const config = { diffIds, architecture: 'arm64', os: 'linux', variant: '' };
  return { id: digestOf(`image ${letters}`), configBytes: new Uint8Array(), config, references: [], layers, ...more };
}

const empty: TargetState = {
  layers: new Map(),
  imageIds: new Set(),
  repositories: new Map(),
  cacheIds: new Set(),
  links: new Set(),
};

function counting(): NewNames {
  let count = 0;
  return {
    cacheId: () => (++count).toString(16).padStart(64, '0'),
    link: () => (++count).toString().padStart(26, 'Z'),
  };
}

function plan(
  images: readonly Image[],
  target: Partial<TargetState> = {},
  onTakenName: 'refuse' | 'keep' | 'move' = 'refuse',
) {
  return planTransplant({ images, target: { ...empty, ...target }, onTakenName, newNames: counting() });
}

describe('planTransplant', () => {
  it('makes shared layers once, with the names they have, lowest first', () => {
    const [one, two] = [image('abc'), image('abd')];
    const { layers } = plan([one, two]);
    expect(layers.map(({ source }) => source)).toEqual([...one.layers, two.layers[2]]);
    expect(layers.map(({ cacheId }) => cacheId)).toEqual(layers.map(({ source }) => source.cacheId));
    expect(layers.map(({ lower }) => lower.split(':').filter(Boolean).length)).toEqual([0, 1, 2, 2]);
    expect(layers[2]?.lower).toBe(`l/${one.layers[1]?.link}:l/${one.layers[0]?.link}`);
  });

  it("builds upon the target's own layers, by the links that they have there", () => {
    const [lowest, ...upper] = image('abc').layers;
    if (lowest === undefined) throw new Error('no layer');
    const present = { ...lowest, cacheId: 'f'.repeat(64), link: 'T'.repeat(26) };
    const { layers, reusedLayers } = plan([image('abc')], { layers: new Map([[lowest.chainId, present]]) });
    expect(reusedLayers).toEqual([present]);
    expect(layers.map(({ source }) => source)).toEqual(upper);
    expect(layers[0]?.lower).toBe(`l/${present.link}`);
    expect(layers[1]?.lower).toBe(`l/${upper[0]?.link}:l/${present.link}`);
  });

  it('never gives a name that is taken, and never one twice', () => {
    const stacks = fc.array(fc.stringMatching(/^[a-d]{1,6}$/), { minLength: 1, maxLength: 5 });
    fc.assert(
      fc.property(stacks, fc.array(fc.boolean(), { minLength: 20, maxLength: 20 }), (names, taken) => {
        const images = [...new Set(names)].map((letters) => image(letters));
        const all = images.flatMap(({ layers }) => layers).filter((_, index) => taken[index]);
        const cacheIds = new Set(all.map(({ cacheId }) => cacheId));
        const links = new Set(all.map(({ link }) => link));
        const { layers } = plan(images, { cacheIds, links });
        const linkByChain = new Map(layers.map(({ source, link }) => [source.chainId, link]));
        expect(new Set(layers.map(({ cacheId }) => cacheId)).size).toBe(layers.length);
        expect(new Set(linkByChain.values()).size).toBe(layers.length);
        for (const { cacheId, link } of layers) expect(cacheIds.has(cacheId) || links.has(link)).toBe(false);
        // Every layer comes after the one below it, and its lower begins with that one's link.
        for (const [index, { source, lower }] of layers.entries()) {
          const below = layers.slice(0, index).find((other) => other.source.chainId === source.parent);
          expect(below !== undefined).toBe(source.parent !== undefined);
          expect(lower).toBe(below === undefined ? '' : [`l/${below.link}`, below.lower].filter(Boolean).join(':'));
        }
      }),
    );
  });

  it('keeps a parent only where it comes along or is there, and places it first', () => {
    const [parent, child] = [image('a'), image('ab', { parent: image('a').id })];
    expect(plan([child]).images).toEqual([{ image: child }]);
    expect(plan([child, parent]).images).toEqual([{ image: parent }, { image: child, parent: parent.id }]);
    expect(plan([child], { imageIds: new Set([parent.id]) }).images).toEqual([{ image: child, parent: parent.id }]);
  });

  it('ends where images name each other as parents', () => {
    const [one, two] = [image('a', { parent: image('b').id }), image('b', { parent: image('a').id })];
    expect(plan([one, two]).images).toHaveLength(2);
  });

  it('refuses, keeps or moves a name of another image, and leaves all others alone', () => {
    const held = digestOf('held');
    const repositories = new Map([
      [
        'app',
        new Map<string, Digest>([
          ['app:1', held],
          ['app:0', held],
        ]),
      ],
    ]);
    const one = image('a', { references: ['app:1', 'host:5000/app:2'] });
    expect(() => plan([one], { repositories })).toThrow('app:1');
    const kept = plan([one], { repositories }, 'keep').repositories;
    expect(kept?.get('app')).toEqual(repositories.get('app'));
    expect(kept?.get('host:5000/app')).toEqual(new Map([['host:5000/app:2', one.id]]));
    const moved = plan([one], { repositories }, 'move');
    expect(moved.repositories?.get('app')).toEqual(
      new Map([
        ['app:1', one.id],
        ['app:0', held],
      ]),
    );
    expect(moved.takenNames).toEqual([{ reference: 'app:1', target: held, source: one.id }]);
    expect(repositories.get('app')?.get('app:1')).toBe(held);
  });

  it('has nothing to do a second time', () => {
    const one = image('ab', { references: ['app:1'] });
    const again = plan([one], {
      layers: new Map(one.layers.map((layer) => [layer.chainId, layer])),
      imageIds: new Set([one.id]),
      repositories: new Map([['app', new Map([['app:1', one.id]])]]),
    });
    expect(again).toMatchObject({ layers: [], images: [], presentImages: [one] });
    expect(again.repositories).toBeUndefined();
  });
});
