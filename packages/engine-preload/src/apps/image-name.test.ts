import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { engineReference, isImageId, normalisedImageName, parseImageName } from './image-name.ts';

const digest = `sha256:${'ab'.repeat(32)}`;

function normalised(text: string): string | undefined {
  const name = parseImageName(text);
  return name === undefined ? undefined : normalisedImageName(name);
}

describe('names of images', () => {
  it.each([
    ['busybox', 'busybox:latest'],
    ['busybox:1.36', 'busybox:1.36'],
    ['localhost/a', 'localhost/a:latest'],
    ['localhost:5000/a/b:1', 'localhost:5000/a/b:1'],
    ['[::1]:5000/a', '[::1]:5000/a:latest'],
    ['registry2.balena-cloud.com/v2/0123456789abcdef', 'registry2.balena-cloud.com/v2/0123456789abcdef:latest'],
    [`registry2.balena-cloud.com/v2/0123@${digest}`, `registry2.balena-cloud.com/v2/0123@${digest}`],
    // The supervisor drops the tag where there is a digest.
    [`a/b:1@${digest}`, `a/b@${digest}`],
  ])('%s is looked up as %s', (text, expected) => expect(normalised(text)).toBe(expected));

  it.each([
    '',
    ' busybox',
    'Busybox',
    'a/B',
    'a//b',
    'a:',
    'a:b:c',
    'a@sha256:12',
    `a@sha512:${'a'.repeat(128)}`,
    'http://a/b',
    '-a',
    'a..b',
    digest,
    'ab'.repeat(32),
    `sha256:latest`,
    'a'.repeat(256),
    'a\nb',
  ])('refuses %j', (text) => expect(parseImageName(text)).toBeUndefined());

  it.each([
    ['docker.io/library/busybox', 'busybox:latest'],
    ['index.docker.io/balena/x:1', 'balena/x:1'],
    ['library/busybox', 'busybox:latest'],
    ['library/a/b', 'library/a/b:latest'],
    ['ghcr.io/library/busybox', 'ghcr.io/library/busybox:latest'],
  ])('the engine keeps %s as %s', (text, expected) => {
    const name = parseImageName(text);
    expect(name && engineReference(name)).toBe(expected);
  });

  it('is stable: a normal form is its own normal form', () => {
    const word = fc.stringMatching(/^[a-z0-9]{1,8}$/);
    const name = fc.tuple(
      fc.constantFrom('', 'localhost/', 'r.example:5000/', 'docker.io/library/'),
      fc.array(word, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')),
      fc.option(word, { nil: undefined }),
      fc.boolean(),
    );
    fc.assert(
      fc.property(name, ([registry, path, tag, hasDigest]) => {
        const text = `${registry}${path}${tag === undefined ? '' : `:${tag}`}${hasDigest ? `@${digest}` : ''}`;
        const once = normalised(text);
        expect(once).toBeDefined();
        expect(normalised(once ?? '')).toBe(once);
      }),
    );
  });

  it('is quick to refuse', () => {
    const start = performance.now();
    for (const text of [
      `${'a-'.repeat(127)}!`,
      `${'a.'.repeat(127)}!`,
      `${'a/'.repeat(127)}!`,
      `${'a'.repeat(254)}!`,
    ]) {
      expect(parseImageName(text)).toBeUndefined();
    }
    expect(performance.now() - start).toBeLessThan(200);
  });

  it('knows ids', () => {
    expect([digest, 'ab'.repeat(32), 'abcdef', `a@${digest}`].map(isImageId)).toEqual([true, true, false, false]);
  });
});
