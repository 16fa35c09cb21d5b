// The part of init.sh that takes an armed boot entry back, run by busybox on files.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { piFirmware } from '@migrate/device-rpi';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runInitFunctions } from '../init-functions.ts';
import { piFacts } from './pi-machine.ts';

const facts = piFacts('pi-4-raspbian-10');
const original = Buffer.from(facts.bootFiles.find(({ path }) => path === '/boot/config.txt')?.text ?? '');
const restore = piFirmware.restoreAtOnce?.(facts);
if (restore === undefined) throw new Error('this board needs no restoring');
const armedSector = Buffer.from(restore.armed, 'base64');
const armed = Buffer.from(original);
armed.set(armedSector, restore.offsetBytes);

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'restore-'));
  await writeFile(join(directory, 'boot-armed'), armedSector);
  await writeFile(join(directory, 'boot-original'), Buffer.from(restore.original, 'base64'));
});
afterEach(() => rm(directory, { recursive: true }));

/** Runs `write_back` of init.sh on a config.txt of these contents and gives what became of it. */
async function writeBack(contents: Buffer): Promise<{ contents: Buffer; said: string }> {
  const config = join(directory, 'config.txt');
  await writeFile(config, contents);
  const script = `top=$1 state=$1 RESTORE_PATH=/config.txt RESTORE_SECTOR=$2
say() { echo "$*"; }
write_back "$3"`;
  const sector = String((restore?.offsetBytes ?? 0) / 512);
  const said = await runInitFunctions(['write_back'], script, [directory, sector, config]);
  return { contents: await readFile(config), said };
}

describe('init', () => {
  it('puts one sector back and leaves the rest', async () => {
    const found = await writeBack(armed);
    expect(found.contents.equals(original)).toBe(true);
    expect(found.said).toBe('');
  });

  it('leaves alone what is restored already, or was changed by someone else', async () => {
    const other = Buffer.concat([Buffer.from('# mine\n'), armed]);
    for (const contents of [original, other, Buffer.from('dtparam=audio=on\n')]) {
      const found = await writeBack(contents);
      expect(found.contents.equals(contents)).toBe(true);
      expect(found.said).toContain('left alone');
    }
  });
});
