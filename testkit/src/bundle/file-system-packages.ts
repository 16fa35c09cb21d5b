// The programs of Debian 12 that stage 2 makes and fills file systems with (balena.image.fs), and their libraries. They stand
// apart from the rest of the runtime, for no other migration takes them to RAM.

import type { DebianPart } from './debian-packages.ts';

const directory = 'file-systems';
const utilLinux = /^2\.38\.1-5(\+deb12u\d+)?$/;
const e2fsprogs = /^1\.47\.0-2(\+deb12u\d+)?(\+b\d+)?$/;

/** `libraries`: Debian's directory of shared libraries, without a slash before it. */
export function fileSystemParts(libraries: string): readonly DebianPart[] {
  return [
    programs('e2fsprogs', e2fsprogs, {
      'sbin/mke2fs': ['mkfs.ext2', 'mkfs.ext3', 'mkfs.ext4'],
      'sbin/e2fsck': ['e2fsck'],
      'sbin/badblocks': ['badblocks'],
      // These two reserve room for a lifeboat in stage 1.
      'usr/sbin/filefrag': ['lifeboat/filefrag'],
    }),
    programs('dosfstools', /^4\.2-1(\+deb12u\d+)?$/, {
      'sbin/mkfs.fat': ['mkfs.vfat'],
      'sbin/fsck.fat': ['fsck.vfat'],
    }),
    programs('mtools', /^4\.0\.33-1\+really4\.0\.32-1(\+deb12u\d+)?$/, { 'usr/bin/mtools': ['mcopy', 'mmd'] }),
    programs('tar', /^1\.34\+dfsg-1\.2(\+deb12u\d+)?$/, { 'bin/tar': ['tar'] }),
    programs('fdisk', utilLinux, { 'sbin/sfdisk': ['sfdisk'] }),
    programs('util-linux', utilLinux, {
      'usr/bin/addpart': ['addpart'],
      'usr/bin/delpart': ['delpart'],
      'usr/bin/fallocate': ['lifeboat/fallocate'],
    }),
    library('libext2fs2', e2fsprogs, [`${libraries}/libext2fs.so.2`, `${libraries}/libe2p.so.2`]),
    library('libcom-err2', e2fsprogs, [`${libraries}/libcom_err.so.2`]),
    library('libblkid1', utilLinux, [`usr/${libraries}/libblkid.so.1`]),
    library('libuuid1', utilLinux, [`usr/${libraries}/libuuid.so.1`]),
    library('libfdisk1', utilLinux, [`usr/${libraries}/libfdisk.so.1`]),
    library('libsmartcols1', utilLinux, [`usr/${libraries}/libsmartcols.so.1`]),
    library('libreadline8', /^8\.2-1\.3(\+b\d+)?$/, [`${libraries}/libreadline.so.8`]),
    library('libtinfo6', /^6\.4-4(\+deb12u\d+)?$/, [`${libraries}/libtinfo.so.6`]),
    library('libacl1', /^2\.3\.1-3(\+b\d+)?$/, [`usr/${libraries}/libacl.so.1`]),
    library('libselinux1', /^3\.4-1(\+b\d+)?$/, [`${libraries}/libselinux.so.1`]),
    library('libpcre2-8-0', /^10\.42-1(\+deb12u\d+)?$/, [`usr/${libraries}/libpcre2-8.so.0`]),
  ];
}

function programs(name: string, version: RegExp, files: Readonly<Record<string, readonly string[]>>): DebianPart {
  const placed = Object.entries(files).map(([from, names]) => [
    from,
    names.map((program) => (program.includes('/') ? program : `${directory}/${program}`)),
  ]);
  return { name, version, files: Object.fromEntries(placed), copyright: copyrightOf(name) };
}

function library(name: string, version: RegExp, paths: readonly string[]): DebianPart {
  const files = paths.map((path) => [path, `${directory}/lib/${path.slice(path.lastIndexOf('/') + 1)}`]);
  return { name, version, files: Object.fromEntries(files), copyright: copyrightOf(name) };
}

function copyrightOf(name: string): string {
  return `usr/share/doc/${name}/copyright`;
}
