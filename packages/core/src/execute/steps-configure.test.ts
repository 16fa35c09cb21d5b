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

/** A medium that keeps other contents of a file than were written: the first ones, then what is written. */
function keeping(othersOf: (name: string) => readonly Uint8Array[]) {
  const { host, ...rest } = context();
  const written = new Map<string, number>();
  const notes: string[] = [];
  const copyDurable: Host['copyDurable'] = (from, to, attributes) => {
    const name = to.slice(to.lastIndexOf('/') + 1);
    const count = written.get(name) ?? 0;
    written.set(name, count + 1);
    const other = othersOf(name)[count];
    return other === undefined ? host.copyDurable(from, to, attributes) : host.writeDurable(to, other, attributes);
  };
  const emit: StepContext['emit'] = (event) => void (event.kind === 'note' && notes.push(event.text));
  const apply = () => configureSteps['configure-image'].apply(step, { ...rest, emit, host: { ...host, copyDurable } });
  return { host, notes, apply };
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
    const { host, notes, apply } = keeping((name) => (name === 'backup.tgz' ? [kept] : []));
    await apply();
    expect(notes).toEqual([expect.stringMatching(/attempt 1 of 3\): \/backup.tgz was not kept/)]);
    expect(Buffer.from(await host.readFile(`${ram}/resin-data/backup.tgz`)).equals(backup)).toBe(true);
    expect(await host.readText(`${ram}/resin-data/migrate.log`)).toBe('log');
  });

  it('goes on without a backup that cannot be kept, and leaves nothing of it', async () => {
    const half = backup.subarray(0, 1000);
    const { host, notes, apply } = keeping((name) => (name === 'backup.tgz' ? [half, half, half] : []));
    await apply();
    expect(await host.status(`${ram}/resin-data/backup.tgz`)).toBeUndefined();
    expect(await host.readText(`${ram}/resin-data/migrate.log`)).toBe('log');
    expect(notes.length).toBe(4);
    expect(notes.at(-1)).toBe('the new system starts without the backup');
  });

  it('never goes on without config.json', async () => {
    const { apply } = keeping((name) => (name === 'config.json' ? [Buffer.from('{')] : []));
    await expect(apply()).rejects.toMatchObject({ code: 'verify-mismatch' });
  });
});
