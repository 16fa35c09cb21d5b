// A tree with everything that archives are known to lose, made by the kernel; and trees as comparable text.
import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';

const longName = 'n'.repeat(255);

/** Fills a directory of a mounted ext4 with hard cases. Needs root. */
export async function makeDifficultTree(root: string): Promise<void> {
  const at = (...names: string[]): string => join(root, ...names);
  await mkdir(at('plain'));
  await writeFile(at('plain/file'), 'contents\n', { mode: 0o640 });
  await writeFile(at('plain/setuid'), '#!/bin/sh\n');
  await execa('chown', ['231072:4000000000', at('plain/file')]);
  await execa('chmod', ['6755', at('plain/setuid')]);
  await mkdir(at('sticky'));
  await execa('chmod', ['1777', at('sticky')]);

  await mkdir(at('nodes'));
  for (const [name, type, ...numbers] of [
    ['null', 'c', '1', '3'],
    ['old-disk', 'b', '8', '1'],
    ['new-disk', 'b', '259', '70000'],
    ['far', 'c', '4095', '1048575'],
    ['pipe', 'p'],
  ])
    await execa('mknod', [at('nodes', name ?? ''), type ?? '', ...numbers]);
  await execa('python3', [
    '-c',
    'import socket,sys; socket.socket(socket.AF_UNIX).bind(sys.argv[1])',
    at('nodes/socket'),
  ]);

  await mkdir(at('links'));
  await writeFile(at('links/one'), 'same');
  await execa('ln', [at('links/one'), at('links/two')]);
  await execa('ln', [at('nodes/null'), at('links/null-again')]);
  await symlink('plain/file', at('links/short'));
  await symlink(`../${'x/'.repeat(150)}`, at('links/long'));
  await execa('ln', [at('links/short'), at('links/short-again')]);
  await symlink('nowhere', at('links/\u00e4\u2603'));
  await execa('chown', ['-h', '1000:1001', at('links/short')]);

  await mkdir(at('names'));
  for (const name of [longName, 'new\nline', ' space ', '-dash', '*']) await writeFile(at('names', name), name);
  await writeFile(Buffer.concat([Buffer.from(at('names/')), Buffer.from([0xff, 0xfe, 0x41])]), 'not UTF-8');
  await writeFile(Buffer.concat([Buffer.from(at('names/')), Buffer.alloc(150, 0xe9)]), 'long and not UTF-8');
  const deep = Array.from({ length: 6 }, () => 'd'.repeat(60)).join('/');
  await mkdir(at('names', deep), { recursive: true });
  await writeFile(at('names', deep, 'leaf'), 'deep');

  await mkdir(at('times'));
  for (const [name, time] of [
    ['1965', '1965-03-04 05:06:07.123456789'],
    ['1969', '1969-12-31 23:59:59.5'],
    ['1970', '1970-01-01 00:00:00'],
    ['2040', '2040-01-01 00:00:00.000000001'],
    ['2299', '2299-12-31 23:59:59.999999999'],
  ] as const) {
    await writeFile(at('times', name), name);
    await execa('touch', ['-d', `${time} UTC`, at('times', name)]);
  }

  await mkdir(at('attributes'));
  for (const name of ['user', 'trusted', 'capability', 'acl', 'many']) await writeFile(at('attributes', name), name);
  await setAttribute(at('attributes/user'), 'user.colour', '0x0001ff0a');
  await setAttribute(at('attributes/user'), 'user.odd=name%', '0x41');
  await setAttribute(at('attributes/user'), 'user.empty', '0x');
  await setAttribute(at('attributes/trusted'), 'trusted.overlay.origin', '0x00fb21');
  // Version 2, effective, permitted: cap_net_raw (include/uapi/linux/capability.h).
  await setAttribute(at('attributes/capability'), 'security.capability', '0x0100000200200000000000000000000000000000');
  for (let index = 0; index < 12; index += 1)
    await setAttribute(at('attributes/many'), `user.number-${index}`, `0x${'ab'.repeat(40)}`);
  await mkdir(at('attributes/opaque'));
  await setAttribute(at('attributes/opaque'), 'trusted.overlay.opaque', '0x79');
  await execa('setfacl', ['-m', 'u:1000:r,g:231072:rw,m::rwx', at('attributes/acl')]);
  await mkdir(at('attributes/acl-directory'));
  await execa('setfacl', ['-m', 'u:1001:rx', '-m', 'd:u:4000000:rwx,d:g::r', at('attributes/acl-directory')]);

  await mkdir(at('sparse'));
  await writeFile(at('sparse/all'), '');
  await truncate(at('sparse/all'), 100 * 1024 * 1024);
  await execa('dd', ['if=/dev/urandom', `of=${at('sparse/middle')}`, 'bs=4096', 'count=3', 'seek=2000', 'status=none']);
  await truncate(at('sparse/middle'), 20_000_001);
  await execa('dd', ['if=/dev/urandom', `of=${at('sparse/small')}`, 'bs=4096', 'count=1', 'seek=3', 'status=none']);
  await execa('fallocate', ['-l', '300000', at('sparse/unwritten')]);

  await mkdir(at('many'));
  for (let index = 0; index < 1500; index += 1) await writeFile(at('many', `entry-with-a-name-${index}`), '');
}

function setAttribute(path: string, name: string, value: string): Promise<unknown> {
  return execa('setfattr', ['-h', '-n', name, '-v', value, path]);
}

/** All that the kernel says of a tree, one line for each fact, sockets left out: equal text, equal trees. Needs root. */
export async function manifestOf(root: string): Promise<string> {
  const run = async (script: string): Promise<string> => {
    const options = { cwd: root, env: { LC_ALL: 'C', TZ: 'UTC' }, encoding: 'latin1', maxBuffer: 2 ** 27 } as const;
    return (await execa('bash', ['-o', 'pipefail', '-c', script], options)).stdout;
  };
  const sorted = 'LC_ALL=C sort -z';
  // Sizes and link counts of directories depend on how their entries came about.
  const parts = [
    `find . ! -type s ! -type d -print0 | ${sorted} | xargs -0 -r stat --printf='%n %f %u:%g %t:%T %s %h %y\\n'`,
    `find . -type d -print0 | ${sorted} | xargs -0 -r stat --printf='%n %f %u:%g %y\\n'`,
    `find . -type l -printf '%p -> %l\\0' | ${sorted} | tr '\\0' '\\n'`,
    `find . -type f -print0 | ${sorted} | xargs -0 -r sha256sum -z | tr '\\0' '\\n'`,
    `find . ! -type s -print0 | ${sorted} | xargs -0 -r getfattr -h -d -m - -e hex --absolute-names -- | cat`,
    // Names of one inode, so that links which were split show.
    `find . ! -type d -links +1 -printf '%i\\t%p\\0' | ${sorted} | awk -v RS='\\0' -F'\\t' '{ names[$1] = names[$1] " " $2 } END { for (i in names) print names[i] }' | sort`,
  ];
  const texts: string[] = [];
  for (const part of parts) texts.push(await run(part));
  return texts.join('\n---\n');
}
