// What the runtime takes out of Debian 12's packages. They are pinned to the upstream version and the release, so that
// security updates of Debian 12 come in and nothing else does.

import type { BundleArchitecture } from './architectures.ts';

export interface DebianPart {
  readonly name: string;
  /** Every acceptable version matches this: upstream version and "deb12" revisions. */
  readonly version: RegExp;
  /** Path in the package → path in the runtime directory. */
  readonly files: Readonly<Record<string, string>>;
  /** Path of the copyright file in the package, where it has one. */
  readonly copyright?: string;
}

const gccVersion = /^12\.2\.0-14(\+deb12u\d+)?$/;

export function debianParts({ triplet, loader, needsLibatomic }: BundleArchitecture): readonly DebianPart[] {
  const libraries = `lib/${triplet}`;
  return [
    {
      name: 'libc6',
      version: /^2\.36-9\+deb12u\d+$/,
      files: {
        // One name in all bundles, so that who starts it need not know the architecture.
        [`${libraries}/${loader}`]: 'ld.so',
        [`${libraries}/libc.so.6`]: 'lib/libc.so.6',
        [`${libraries}/libm.so.6`]: 'lib/libm.so.6',
        [`${libraries}/libdl.so.2`]: 'lib/libdl.so.2',
        [`${libraries}/libpthread.so.0`]: 'lib/libpthread.so.0',
      },
      copyright: 'usr/share/doc/libc6/copyright',
    },
    {
      name: 'libstdc++6',
      version: gccVersion,
      files: { [`usr/${libraries}/libstdc++.so.6`]: 'lib/libstdc++.so.6' },
    },
    { name: 'libgcc-s1', version: gccVersion, files: { [`${libraries}/libgcc_s.so.1`]: 'lib/libgcc_s.so.1' } },
    ...(needsLibatomic
      ? [
          {
            name: 'libatomic1',
            version: gccVersion,
            files: { [`usr/${libraries}/libatomic.so.1`]: 'lib/libatomic.so.1' },
          },
        ]
      : []),
    {
      name: 'gcc-12-base',
      version: gccVersion,
      files: {},
      copyright: 'usr/share/doc/gcc-12-base/copyright',
    },
    {
      name: 'busybox-static',
      version: /^1:1\.35\.0-4(\+deb12u\d+)?(\+b\d+)?$/,
      files: { 'bin/busybox': 'busybox' },
      copyright: 'usr/share/doc/busybox-static/copyright',
    },
    // zstd reads images of .img.zst; what it is linked with comes along.
    {
      name: 'zstd',
      version: /^1\.5\.4\+dfsg2-5(\+deb12u\d+)?$/,
      files: { 'usr/bin/zstd': 'zstd' },
      copyright: 'usr/share/doc/zstd/copyright',
    },
    {
      name: 'zlib1g',
      version: /^1:1\.2\.13\.dfsg-1(\+deb12u\d+)?$/,
      files: { [`${libraries}/libz.so.1.2.13`]: 'lib/libz.so.1' },
      copyright: 'usr/share/doc/zlib1g/copyright',
    },
    {
      name: 'liblzma5',
      version: /^5\.4\.1-1(\+deb12u\d+)?$/,
      files: { [`${libraries}/liblzma.so.5.4.1`]: 'lib/liblzma.so.5' },
      copyright: 'usr/share/doc/liblzma5/copyright',
    },
    {
      name: 'liblz4-1',
      version: /^1\.9\.4-1(\+deb12u\d+)?$/,
      files: { [`usr/${libraries}/liblz4.so.1.9.4`]: 'lib/liblz4.so.1' },
      copyright: 'usr/share/doc/liblz4-1/copyright',
    },
  ];
}
