// How stage 1 changes files on the old system's ext4, cut at every write: a boot menu is the old one, or the new one with all that
// it points at. Two ways that pass every other test are the proof that this one sees anything.
import { mkdir, mkdtemp, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createNodeHost } from '@migrate/core';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { mountImage, unmountImage } from '../loop-device.ts';
import { recordDisk } from './recorded-disk.ts';
import { replay } from './replay.ts';

const host = createNodeHost();
let work: string;
let base: string;

const oldMenu = Buffer.from('boot the old system\n'.repeat(300));
const newMenu = Buffer.from('boot stage 2, then the old system\n'.repeat(300));
const payload = Buffer.alloc(600_000, 'kernel and initramfs ');

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'crash-files-'));
  const tree = join(work, 'tree');
  await mkdir(tree);
  await writeFile(join(tree, 'menu'), oldMenu);
  await writeFile(join(tree, 'environment'), Buffer.alloc(1024, '#'));
  base = join(work, 'base');
  await execa('truncate', ['-s', '24M', base]);
  await execa('mkfs.ext4', ['-q', '-b', '4096', '-d', tree, base]);
});
afterAll(() => rm(work, { recursive: true, force: true }));

/** The kernel writes back when it likes; here, after each step. */
const writeBack = (root: string) => execa('sync', ['-f', root]);

async function record(name: string, change: (root: string) => Promise<unknown>): Promise<string> {
  const [image, log, root] = ['image', 'log', 'root'].map((part) => join(work, `${name}.${part}`)) as [
    string,
    string,
    string,
  ];
  await execa('cp', ['--sparse=always', base, image]);
  await mkdir(root);
  const disk = await recordDisk({ image, log });
  try {
    await execa('mount', [disk.device, root]);
    try {
      await change(root);
    } finally {
      await execa('umount', [root]);
    }
  } finally {
    await disk.close();
  }
  return log;
}

/** What each state of a log holds, by mounting it as the next boot would. */
async function outcomes(name: string, log: string, look: (root: string) => Promise<string>) {
  const root = join(work, `${name}.look`);
  await mkdir(root);
  const state = join(work, `${name}.state`);
  return replay({ base, log, work: state, unitBytes: 4096 }, async () => {
    await mountImage(state, root);
    try {
      return await look(root);
    } finally {
      await unmountImage(root);
    }
  });
}

async function menuOf(root: string): Promise<string> {
  const menu = await readFile(join(root, 'menu')).catch(() => Buffer.alloc(0));
  if (menu.equals(oldMenu)) return 'old';
  if (!menu.equals(newMenu)) return 'mangled';
  const found = await readFile(join(root, 'payload')).catch(() => Buffer.alloc(0));
  return found.equals(payload) ? 'new' : 'new without payload';
}

describe('a menu that is switched', () => {
  it('as stage 1 does it is old or new after every power cut', async () => {
    const log = await record('durable', async (root) => {
      await host.writeDurable(join(root, 'payload'), payload, { mode: 0o600 });
      await writeBack(root);
      await host.writeDurable(join(root, 'menu'), newMenu, { mode: 0o600 });
    });
    const counts = await outcomes('durable', log, menuOf);
    expect(Object.keys(counts).sort()).toEqual(['new', 'old']);
    expect(counts.old).toBeGreaterThan(20);
    console.log(`durable files: ${JSON.stringify(counts)}`);
  });

  it('in place is found mangled', async () => {
    const log = await record('in-place', async (root) => {
      await writeFile(join(root, 'payload'), payload);
      const file = await open(join(root, 'menu'), 'w');
      await writeBack(root);
      await file.write(newMenu);
      await file.close();
    });
    expect((await outcomes('in-place', log, menuOf)).mangled).toBeGreaterThan(0);
  });

  it('before its payload is durable is found without it', async () => {
    const log = await record('too-early', async (root) => {
      await writeFile(join(root, 'menu.new'), newMenu);
      await host.openWrite(join(root, 'menu.new')).then(async (file) => {
        await file.flush();
        await file.close();
      });
      await rename(join(root, 'menu.new'), join(root, 'menu'));
      await writeBack(root);
      await writeFile(join(root, 'payload'), payload);
    });
    expect((await outcomes('too-early', log, menuOf))['new without payload']).toBeGreaterThan(0);
  });
});

describe('an environment block', () => {
  it('that is overwritten in place is old or new after every power cut', async () => {
    const armed = Buffer.alloc(1024, '#');
    armed.write('next_entry=balena-migrate\n');
    const log = await record('environment', (root) => host.overwriteInPlace(join(root, 'environment'), armed));
    const counts = await outcomes('environment', log, async (root) => {
      const found = await readFile(join(root, 'environment'));
      return found.equals(armed) ? 'new' : found.equals(Buffer.alloc(1024, '#')) ? 'old' : 'mangled';
    });
    expect(Object.keys(counts).sort()).toEqual(['new', 'old']);
  });
});
