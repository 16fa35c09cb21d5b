import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseExtlinuxConf } from './extlinux-conf.ts';

const text = `label Linux microSD
    kernel /Image
    append root=/dev/mmcblk0p3 ro
    fdtdir /
label Linux eMMC (default)
    KERNEL /Image
    initrd /initrd.img
menu title Boot Options
timeout 20
default Linux eMMC (default)
`;

describe('extlinux.conf', () => {
  it('starts the entry that default names', () => {
    const { started, entries } = parseExtlinuxConf(text);
    expect(entries.map(({ label }) => label)).toEqual(['Linux microSD', 'Linux eMMC (default)']);
    expect(started?.label).toBe('Linux eMMC (default)');
    expect(started?.settings.get('kernel')).toBe('/Image');
  });

  it('starts the first one otherwise, and nothing where there is none', () => {
    expect(parseExtlinuxConf(text.replace('default Linux', 'default no')).started?.label).toBe('Linux microSD');
    expect(parseExtlinuxConf('# nothing\n').started).toBeUndefined();
  });

  it('never throws', () => {
    fc.assert(fc.property(fc.string(), (any) => Array.isArray(parseExtlinuxConf(any).entries)));
  });
});
