// The whole way of an operator: a kit that is made on a desk, one command on the machine, and a question on its terminal.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { bundleName } from '../bundle/bundle.ts';
import {
  backupLines,
  connectionName,
  failure,
  fillWorkDirectory,
  networkLines,
  type Road,
  startRoad,
  startUnseen,
  type WorkParts,
} from './road.ts';
import { checkMigrated, fillOldSystem } from './road-test.ts';

const deviceType = 'intel-nuc';
const settings = [
  'migrate:',
  ...[...networkLines, ...backupLines].map((line) => `  ${line}`),
  'balena: { api: { check: false }, check_vpn: false }',
  '',
];

describe('a Debian 12 machine with UEFI', () => {
  let road: Road;
  beforeAll(async () => {
    road = await startRoad({ shape: 'uefi', deviceType, fill: prepareKit });
  });
  afterAll(() => road?.close());

  it('becomes balenaOS by a kit, whose image is packed with zstd, after a yes on its terminal', async () => {
    const { machine } = road;
    const backup = await fillOldSystem(machine, { hasData: true });
    await machine.runShell(`cd ${road.workDirectory} && tar -xf kit.tar && : >answers`);
    await startUnseen(road, "sh -c 'tail -f answers | script -qec kit/migrate-run /dev/null'");
    await machine.waitFor(/will be overwritten\. Type "yes" to go on/, { unless: failure });
    await machine.runShell(`echo yes >>${road.workDirectory}/answers`);
    await checkMigrated(road, { deviceType, firmware: 'uefi', backup });
  });
});

/** Makes the kit, with the program that is in it. */
async function prepareKit(share: string, parts: WorkParts): Promise<void> {
  const desk = join(share, '../desk');
  await mkdir(desk);
  await fillWorkDirectory(desk, parts);
  await writeFile(join(desk, 'settings.yml'), settings.join('\n'));
  const inputs = ['-i', 'balena.img.gz', '--config-json', 'config.json', '-n', connectionName];
  const args = ['prepare', ...inputs, '--settings', 'settings.yml', '-o', join(share, 'kit.tar')];
  await execa(join(desk, bundleName(parts.architecture), 'migrate'), args, { cwd: desk });
}
