// Makes fixtures/machines/<shape>/facts.json anew: what `migrate facts` says in each emulated Debian machine.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeBundle } from './bundle/bundle.ts';
import { type Shape, startBrownfield } from './debian-disk.ts';

const fixtures = join(import.meta.dirname, '../../fixtures/machines');
const shapes: readonly Shape[] = ['bios-mbr', 'bios-gpt', 'uefi'];

for (const shape of shapes) {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-capture-'));
  const share = join(directory, 'share');
  await mkdir(share);
  await makeBundle(share);
  const { machine } = await startBrownfield({ shape, directory, share });
  const { stdout } = await machine.runShell('/mnt/share/migrate-linux-x64/migrate facts');
  const folder = join(fixtures, `pc-debian-12-${shape}`);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'facts.json'), stdout);
  await machine.kill();
  await rm(directory, { recursive: true });
  console.log(`${folder}/facts.json`);
}
