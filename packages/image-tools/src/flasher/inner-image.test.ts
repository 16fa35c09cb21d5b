import { MigrateError } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { memoryTree } from '../extract/memory-tree.ts';
import { isFlasherDeviceType } from './flasher-device-types.ts';
import { chooseImage } from './inner-image.ts';

async function chosen(names: readonly string[], expectedName?: string): Promise<string> {
  const tree = memoryTree(names.map((name) => ({ name, kind: 'file' })));
  return Buffer.from(chooseImage(await tree.children(tree.root), expectedName).name).toString();
}

describe('the image in /opt', () => {
  it.each([
    [['a.img', 'balena-image-x.balenaos-img', 'balena-image-y.balenaos-img'], 'balena-image-y.balenaos-img'],
    [['notes.txt', 'balena-image-genericx86-64.balenaos-img'], undefined, 'balena-image-genericx86-64.balenaos-img'],
    [['balena-image-a.balenaos-img', 'balena-image-flasher-a.balenaos-img'], 'gone', 'balena-image-a.balenaos-img'],
    [['notes.txt', 'resin-image-genericx86-64.resinos-img'], undefined, 'resin-image-genericx86-64.resinos-img'],
    [['resin-image-a.resinos-img', 'balena-image-a.balenaos-img'], undefined, 'balena-image-a.balenaos-img'],
    [['resin-image-artik5.hddimg'], undefined, 'resin-image-artik5.hddimg'],
  ])('of %j, expecting %s', async (names, expected, found = expected) => {
    expect(await chosen(names, expected)).toBe(found);
  });

  it('is not guessed among several, and not found among none', async () => {
    const several = chosen(['a', 'b\u001b[31m']);
    await expect(several).rejects.toThrow(MigrateError);
    await expect(several).rejects.toThrow(String.raw`several files that may be the image: "a", "b\u001b[31m"`);
    await expect(chosen([])).rejects.toThrow('there is no image inside of it');
    await expect(chosen(['balena-image-a.balenaos-img', 'balena-image-b.balenaos-img'])).rejects.toThrow('several');
  });
});

it('device types whose download is a flasher image', () => {
  for (const slug of ['intel-nuc', 'generic-amd64', 'beaglebone-black', 'up-squared', 'jetson-tx2'])
    expect(isFlasherDeviceType(slug), slug).toBe(true);
  for (const slug of ['raspberrypi3', 'beagleboard-xm', 'raspberrypicm4-ioboard', '', 'intel'])
    expect(isFlasherDeviceType(slug), slug).toBe(false);
});
