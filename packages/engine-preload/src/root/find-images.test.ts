import { describe, expect, it } from 'vitest';
import { type Digest, digestOf } from './digest.ts';
import { findImages, namedImages } from './find-images.ts';
import { familiarReference, parseRepositories, printRepositories, referencesTo, repositoryOf } from './repositories.ts';

const id = (start: string): Digest => `sha256:${start.padEnd(64, '0')}`;
const manifest = digestOf('manifest');
const images = [
  { id: id('aaaa1'), references: ['busybox:latest', 'tool:1'] },
  { id: id('aaaa2'), references: ['tool:2'] },
  { id: id('bbbb'), references: [`registry2.balena-cloud.com/v2/abc@${manifest}`] },
  { id: id('cccc'), references: [] },
];
const damaged = [{ id: id('dddd'), references: ['broken:latest'], fault: 'layer 2 of 3: it is missing' }];
const find = (...names: string[]): readonly string[] => findImages({ images, damaged }, names).map((image) => image.id);

describe('findImages', () => {
  it.each([
    ['a name with a tag', 'tool:2', 'aaaa2'],
    ['a name without one, which means latest', 'busybox', 'aaaa1'],
    ["a name with Docker Hub's prefixes", 'docker.io/library/busybox:latest', 'aaaa1'],
    ['an id', id('cccc'), 'cccc'],
    ['an id without its prefix', id('cccc').slice(7), 'cccc'],
    ['the start of an id', 'bbbb', 'bbbb'],
    ['the start of an id with its prefix', 'sha256:aaaa2', 'aaaa2'],
    ['a digest', manifest, 'bbbb'],
    ['a name with a digest', `registry2.balena-cloud.com/v2/abc@${manifest}`, 'bbbb'],
    ['the only image called so', 'registry2.balena-cloud.com/v2/abc', 'bbbb'],
  ])('finds by %s', (_, name, start) => expect(find(name)).toEqual([id(start)]));

  it('gives each image once, in the order asked for', () => {
    expect(find('tool:2', 'busybox', 'aaaa2')).toEqual([id('aaaa2'), id('aaaa1')]);
  });

  it('says everything that is wrong at once', () => {
    const all = (): unknown => find('tool', 'aaaa', 'nothing', 'broken', 'aaa');
    expect(all).toThrow(
      /"tool" stands for several images: aaaa10000000 \(busybox:latest, tool:1\), aaaa20000000 \(tool:2\)/,
    );
    expect(all).toThrow(/"aaaa" stands for several images/);
    expect(all).toThrow(/there is no image "nothing"/);
    expect(all).toThrow(/\(broken:latest\) is damaged: layer 2 of 3/);
    expect(all).toThrow(/there is no image "aaa"/);
    expect(all).toThrow(/Images here: busybox:latest/);
  });

  it('counts damaged images among those that have a name', () => {
    expect(namedImages({ images, damaged })).toEqual([id('aaaa1'), id('aaaa2'), id('bbbb'), id('dddd')]);
  });
});

describe('references', () => {
  it.each([
    ['a', 'a'],
    ['a:1', 'a'],
    ['host:5000/a', 'host:5000/a'],
    ['host:5000/a:1', 'host:5000/a'],
    [`host:5000/a:1@${manifest}`, 'host:5000/a:1'],
  ])('%s is of repository %s', (reference, repository) => expect(repositoryOf(reference)).toBe(repository));

  it.each([
    ['a', 'a:latest'],
    ['library/a', 'a:latest'],
    ['docker.io/b/a', 'b/a:latest'],
    ['host:5000/a', 'host:5000/a:latest'],
    [`a@${manifest}`, `a@${manifest}`],
  ])('%s is written %s', (text, reference) => expect(familiarReference(text)).toBe(reference));
});

describe('repositories.json', () => {
  const parse = (text: string) => parseRepositories(Buffer.from(text), 'root: repositories.json');

  it('keeps every name, strange ones too', () => {
    const text = `{"Repositories":{"__proto__":{"__proto__:1":"${id('a')}"},"b":{"b:1":"${id('b')}","b:2":"${id('a')}"}}}`;
    expect(Buffer.from(printRepositories(parse(text))).toString()).toBe(text);
    expect(referencesTo(parse(text), id('a'))).toEqual(['__proto__:1', 'b:2']);
  });

  it.each([
    ['', 'repositories.json is not valid JSON'],
    ['{"Repositories":{"a":', 'is not valid JSON'],
    ['[]', 'must be an object'],
    ['{"Repositories":{"a":7}}', 'Repositories["a"] must be an object'],
    ['{"Repositories":{"a":{"a:1":"sha256:1"}}}', 'Repositories["a"]["a:1"] is no image id'],
  ])('refuses %s', (text, message) => expect(() => parse(text)).toThrow(message));
});
