import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { explainPlan, type Facts, type Plan } from '@migrate/core';
import { coreFacts, type WindowsFacts } from '@migrate/windows-efi';
import { describe, expect, it } from 'vitest';
import { stepHandlers } from './step-handlers.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');
const windowsMachines = join(import.meta.dirname, '../../../fixtures/windows');

describe('the plan for a person', () => {
  it.each(readdirSync(machines))('%s', async (name) => {
    const read = (file: string): unknown => JSON.parse(readFileSync(join(machines, name, file), 'utf8'));
    const text = explainPlan(read('plan.json') as Plan, { facts: read('facts.json') as Facts, handlers: stepHandlers });
    await expect(text).toMatchFileSnapshot(join(machines, name, 'plan.txt'));
  });

  it.each(readdirSync(windowsMachines).filter((name) => name.startsWith('windows-')))('%s', async (name) => {
    const read = (file: string): unknown => JSON.parse(readFileSync(join(windowsMachines, name, file), 'utf8'));
    const facts = coreFacts(read('facts.json') as WindowsFacts, undefined);
    const text = explainPlan(read('plan.json') as Plan, { facts, handlers: stepHandlers });
    await expect(text).toMatchFileSnapshot(join(windowsMachines, name, 'plan.txt'));
  });

  it('lists what a backup takes, and what room it needs on resin-data', () => {
    const read = (file: string): unknown =>
      JSON.parse(readFileSync(join(machines, 'pc-debian-12-bios-mbr', file), 'utf8'));
    const plan = read('plan.json') as Plan;
    const items = [
      { source: '/srv/app', target: [], filter: '\\.db$' },
      { source: '/etc/odd\u001b[2J', target: ['old', 'etc'] },
    ];
    const text = explainPlan(
      {
        ...plan,
        stage1: [
          ...plan.stage1,
          {
            kind: 'write-backup',
            id: 'write-backup',
            volumes: [{ name: 'data', files: 12, contentBytes: 3_000_000, items }],
            to: '/state/backup.tgz',
            sealTo: '/state/backup.json',
            limitBytes: 1,
          },
        ],
        dataSpaces: [
          {
            path: 'resin-data as it is flashed',
            needed: [{ what: 'backup (at most)', bytes: 4_000_000 }],
            availableBytes: 40_000_000,
          },
        ],
      },
      { facts: read('facts.json') as Facts, handlers: stepHandlers },
    );
    expect(text).toContain(`
Backup, for volumes of the new system
  volume data: 12 files, 3 MiB
    "/srv/app", only paths with "\\\\.db$"
    "/etc/odd\\u001b[2J" into "old/etc"
  the release that the device gets first must declare each of them, or it starts no application
`);
    expect(text).toContain(`
Space on resin-data as it is flashed
        4 MiB  backup (at most)
        4 MiB  needed, of 39 MiB
`);
  });
});
