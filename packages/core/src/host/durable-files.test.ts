import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNodeHost } from './host-node.ts';

const host = createNodeHost();
let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'stream-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

describe('createFile', () => {
  const left = (): string[] => readdirSync(directory).sort();

  it('shows a file under its name only when committed, holes included', async () => {
    const path = join(directory, 'new');
    const file = await host.createFile(path, { mode: 0o640 });
    await file.write(Buffer.from('end'), 1024 * 1024);
    await file.setSize(2 * 1024 * 1024);
    expect(file.sizeBytes).toBe(2 * 1024 * 1024);
    expect(await host.status(path)).toBeUndefined();
    await file.commit();
    await file.close();
    const stats = statSync(path);
    expect([stats.size, stats.mode & 0o777, stats.blocks < 100]).toEqual([2 * 1024 * 1024, 0o640, true]);
    expect(left()).toEqual(['new']);
  });

  it('leaves what was there, and nothing else, when closed before', async () => {
    const path = join(directory, 'kept');
    writeFileSync(path, 'old');
    const file = await host.createFile(path, { mode: 0o644 });
    await file.write(Buffer.from('new'), 0);
    await file.close();
    expect(readFileSync(path, 'utf8')).toBe('old');
    expect(left()).toEqual(['kept', 'new']);
  });

  it('lets only the later of two runs have the name', async () => {
    const path = join(directory, 'both');
    const first = await host.createFile(path, { mode: 0o644 });
    const second = await host.createFile(path, { mode: 0o644 });
    await first.write(Buffer.from('first'), 0);
    await expect(first.commit()).rejects.toMatchObject({ code: 'busy' });
    await first.close();
    await second.write(Buffer.from('second'), 0);
    await second.commit();
    await second.close();
    expect(readFileSync(path, 'utf8')).toBe('second');
  });

  it('has no name at all as a scratch file', async () => {
    const before = left();
    const file = await host.createScratchFile(directory);
    await file.write(Buffer.from('abc'), 5);
    const found = Buffer.alloc(10);
    expect([await file.read(found, 0), found.toString('latin1', 5, 8), left()]).toEqual([8, 'abc', before]);
    await file.close();
    await expect(host.createScratchFile(join(directory, 'none'))).rejects.toMatchObject({ code: 'write-failed' });
  });
});
