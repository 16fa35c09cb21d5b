import { createMemoryHost, type LogRecord, MigrateError } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { writeLogToDrive } from './log-drive-writer.ts';

const drive = { path: '/dev/sdb1', uuid: 'ABCD-1234', fileSystem: 'vfat' } as const;
const mountPoint = '/drive';
const record = (text: string): LogRecord => ({ time: '', uptimeSeconds: 1, level: 'info', kind: 'note', text });

function start({ appearsAfter = 0, hangs = false, former = '' } = {}) {
  const commands: string[] = [];
  const said: string[] = [];
  let searches = 0;
  const host = createMemoryHost({
    files: former === '' ? {} : { '/drive/migrate.log': former },
    run: async (command, args) => {
      commands.push([command, ...args].join(' '));
      if (command === 'findfs') {
        searches += 1;
        if (searches <= appearsAfter) throw new MigrateError('command-failed', 'findfs ended with status 1');
        return { stdout: '/dev/sdc1\n', stderr: '' };
      }
      if (hangs) await new Promise(() => {});
      return { stdout: '', stderr: '' };
    },
  });
  const writer = writeLogToDrive({
    host: {
      ...host,
      mount: async (request) => void commands.push(`mount ${request.source} ${request.options.join(',')}`),
    },
    drive,
    mountPoint,
    say: (_level, text) => said.push(text),
    searchMs: 50,
    intervalMs: 5,
  });
  return { host, commands, said, writer, text: () => host.readText('/drive/migrate.log') };
}

const moment = () => new Promise((resolve) => setTimeout(resolve, 60));

describe('the log drive', () => {
  it('gets the lines from before it was there, while stage 2 runs, behind those of an earlier run', async () => {
    const { writer, text, commands, said } = start({ appearsAfter: 2, former: 'earlier\n' });
    writer.sink(record('first'));
    await moment();
    expect(await text()).toBe('earlier\n[    1.0] first\n');
    writer.sink(record('second'));
    await writer.close(1000);
    expect(await text()).toBe('earlier\n[    1.0] first\n[    1.0] second\n');
    expect(commands.filter((command) => !command.startsWith('findfs'))).toEqual([
      'mount /dev/sdc1 rw,umask=0077,quiet',
      'umount /drive',
    ]);
    expect(said).toEqual(['the log is also written to migrate.log on /dev/sdb1']);
  });

  it('that never comes is told once and holds up nothing', async () => {
    const { writer, said } = start({ appearsAfter: 1000 });
    writer.sink(record('first'));
    await moment();
    await moment();
    await writer.close(1000);
    expect(said).toEqual(['the log is not written to /dev/sdb1: no disk has the file system ABCD-1234']);
  });

  it('that hangs does not keep stage 2 from ending', async () => {
    const { writer, text } = start({ hangs: true });
    writer.sink(record('first'));
    const startedMs = performance.now();
    await writer.close(100);
    expect(performance.now() - startedMs).toBeLessThan(1000);
    expect(await text()).toBe('[    1.0] first\n');
  });
});
