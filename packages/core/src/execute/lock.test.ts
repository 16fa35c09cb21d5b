import { describe, expect, it } from 'vitest';
import { MigrateError } from '../error.ts';
import { createMemoryHost } from '../host/memory-host.ts';
import { lockHolder, withLock } from './lock.ts';

const bootId = { '/proc/sys/kernel/random/boot_id': 'boot-1\n', '/var/lib/x': '' };
const directory = '/var/lib/state';

function lockOf(pid: number, boot: string): Record<string, string> {
  return { [`${directory}/lock`]: JSON.stringify({ pid, bootId: boot, since: '2026-01-01T00:00:00Z' }) };
}

describe('withLock', () => {
  it('leaves nothing behind', async () => {
    const host = createMemoryHost({ files: bootId });
    const before = host.snapshot();
    expect(await withLock(host, directory, async () => (await host.status(`${directory}/lock`))?.mode)).toBe(0o600);
    expect(host.snapshot()).toEqual(before);
  });

  it('keeps the directory where the action left something in it', async () => {
    const host = createMemoryHost({ files: bootId });
    await withLock(host, directory, () => host.writeDurable(`${directory}/journal`, new Uint8Array(), { mode: 0o600 }));
    expect(await host.list(directory)).toEqual(['journal']);
  });

  it('refuses while another living process holds it, and leaves that lock alone', async () => {
    const host = createMemoryHost({ files: { ...bootId, ...lockOf(42, 'boot-1'), '/proc/42/status': '' } });
    await expect(withLock(host, directory, async () => {})).rejects.toThrow(/process 42 since 2026/);
    expect((await lockHolder(host, directory))?.pid).toBe(42);
  });

  it('asks a system without /proc in its own way', async () => {
    const files = { '/var/lib/x': '', ...lockOf(42, 'start 7') };
    const withProcesses = (isAlive: boolean) => ({
      ...createMemoryHost({ files }),
      processes: { bootId: async () => 'start 7', isAlive: (processId: number) => isAlive && processId === 42 },
    });
    await expect(withLock(withProcesses(true), directory, async () => {})).rejects.toThrow(/process 42 since 2026/);
    expect(await withLock(withProcesses(false), directory, async () => 'ran')).toBe('ran');
  });

  it.each([
    ['a process that is gone', lockOf(42, 'boot-1')],
    ['another boot', { ...lockOf(42, 'boot-0'), '/proc/42/status': '' }],
    ['a crash while it was written', { [`${directory}/lock`]: '{"pi' }],
  ])('takes over the lock of %s', async (_name, files) => {
    const host = createMemoryHost({ files: { ...bootId, ...files } });
    expect(await withLock(host, directory, async () => 'ran')).toBe('ran');
  });

  it('leaves nothing behind where there is no room for it', async () => {
    const host = createMemoryHost({ files: bootId });
    const before = host.snapshot();
    const full = { ...host, createExclusive: () => Promise.reject(new MigrateError('no-space', 'full')) };
    await expect(withLock(full, directory, async () => {})).rejects.toThrow('full');
    expect(host.snapshot()).toEqual(before);
  });

  it('does not turn into a failure what was done, where it cannot be removed', async () => {
    const host = createMemoryHost({ files: bootId });
    const failing = { ...host, removeFile: () => Promise.reject(new MigrateError('write-failed', 'read-only')) };
    expect(await withLock(failing, directory, async () => 'done')).toBe('done');
    expect(await host.status(`${directory}/lock`)).toBeDefined();
  });

  it('releases it when the action throws', async () => {
    const host = createMemoryHost({ files: bootId });
    await expect(withLock(host, directory, () => Promise.reject(new Error('x')))).rejects.toThrow('x');
    expect(await host.status(directory)).toBeUndefined();
  });
});
