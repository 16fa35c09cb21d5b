import { describe, expect, it } from 'vitest';
import type { Host } from '../host/host.ts';
import { createMemoryHost } from '../host/memory-host.ts';
import type { Plan, StepOf } from '../plan/plan.ts';
import type { StepContext } from './execute.ts';
import { configureSteps } from './steps-configure.ts';

const ram = '/migrate/ram';
const step: StepOf<'configure-image'> = {
  kind: 'configure-image',
  id: 'configure-image',
  files: [
    { payload: 'config.json', partition: 'resin-boot', path: '/config.json', mode: 0o600 },
    { payload: 'backup.tgz', partition: 'resin-data', path: '/backup.tgz', mode: 0o600 },
  ],
  logPath: '/migrate.log',
};
const image = {
  labels: { 'resin-boot': 0, 'resin-data': 1 },
  table: { partitions: [{ startByte: 1 }, { startByte: 2 }] },
} as unknown as Plan['image'];
/** More than is compared at once. */
const backup = Buffer.alloc(2_500_000, 'backup');

function context(changes: Partial<Host> = {}): StepContext {
  const files = { [`${ram}/config.json`]: '{}', [`${ram}/backup.tgz`]: backup };
  return {
    host: { ...createMemoryHost({ files }), ...changes },
    plan: { image } as Plan,
    emit: () => {},
    log: () => new TextEncoder().encode('log'),
    ramDirectory: ram,
    targetPath: '/dev/sda',
  };
}

describe('configure-image', () => {
  it('puts every file into its partition, and can do so again', async () => {
    const there = context();
    for (const _ of [1, 2]) await configureSteps['configure-image'].apply(step, there);
    expect(await there.host.readText(`${ram}/resin-boot/config.json`)).toBe('{}');
    expect(Buffer.from(await there.host.readFile(`${ram}/resin-data/backup.tgz`)).equals(backup)).toBe(true);
    expect(await there.host.readText(`${ram}/resin-data/migrate.log`)).toBe('log');
    expect((await there.host.status(`${ram}/resin-data/backup.tgz`))?.mode).toBe(0o600);
  });

  it('never needs room for a file twice: one that an earlier attempt left goes first', async () => {
    const changes: string[] = [];
    const files = {
      [`${ram}/config.json`]: '{}',
      [`${ram}/backup.tgz`]: backup,
      [`${ram}/resin-data/backup.tgz`]: 'old',
    };
    const host = createMemoryHost({ files, onChange: (change) => changes.push(change) });
    await configureSteps['configure-image'].apply(step, { ...context(), host });
    const [removed, copied] = ['remove', 'copy'].map((verb) => changes.indexOf(`${verb} ${ram}/resin-data/backup.tgz`));
    expect(removed).toBeGreaterThanOrEqual(0);
    expect(copied).toBeGreaterThan(removed ?? 0);
  });

  it.each([
    ['a byte in it differs', Buffer.from(backup).fill(0, 2_400_000, 2_400_001)],
    ['it is shorter', backup.subarray(0, -1)],
    ['it is longer', Buffer.concat([backup, Buffer.from('x')])],
  ])('sees that the medium did not keep the backup: %s', async (_, kept) => {
    const { host } = context();
    const copyDurable: Host['copyDurable'] = (from, to, attributes) =>
      to.endsWith('backup.tgz') ? host.writeDurable(to, kept, attributes) : host.copyDurable(from, to, attributes);
    await expect(
      configureSteps['configure-image'].apply(step, { ...context(), host: { ...host, copyDurable } }),
    ).rejects.toMatchObject({ code: 'verify-mismatch', message: expect.stringContaining('/backup.tgz') });
  });
});
