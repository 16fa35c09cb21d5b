import { createMemoryHost, type Host, MigrateError } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { platformOf } from './platform.ts';
import { status, undo } from './undo-command.ts';
import { windowsSurvey } from './windows-platform.ts';

const system = {
  isAdministrator: true,
  memoryBytes: 1,
  systemDrive: 'C:',
  programFiles: 'D:\\Programme',
  bootCount: 7,
};

function windows(printed: Readonly<Record<string, unknown>>): { host: Host; asked: string[] } {
  const asked: string[] = [];
  const host = createMemoryHost({
    userId: -1,
    run: async (_, args) => {
      const script = Buffer.from(args.at(-1) ?? '', 'base64').toString('utf16le');
      const operation = /^# migrate:(\S+)/.exec(script)?.[1] ?? '';
      asked.push(operation);
      if (!(operation in printed)) throw new MigrateError('command-failed', operation);
      return { stdout: JSON.stringify(printed[operation]), stderr: '' };
    },
  });
  return { host: { ...host, system: 'windows' }, asked };
}

describe('platformOf', () => {
  it('is Linux where the host says nothing else', async () => {
    const host = createMemoryHost();
    expect(await platformOf(host)).toMatchObject({ host, stateDirectory: '/var/lib/balena-migrate' });
  });

  it('makes of Windows what the rest knows: root, starts, processes, and a restart', async () => {
    const { host, asked } = windows({ 'read-system': system, restart: { restarting: true } });
    const platform = await platformOf(host);
    // Users may write where all programs keep their data.
    expect(platform.stateDirectory).toBe('D:\\Programme\\balena-migrate');
    expect(platform.host.userId).toBe(0);
    expect(await platform.host.processes?.bootId()).toBe('7');
    expect(platform.host.processes?.isAlive(process.pid)).toBe(true);
    expect(platform.host.processes?.isAlive(2 ** 30)).toBe(false);
    await platform.host.reboot();
    expect(asked).toEqual(['read-system', 'restart']);
    expect(await platform.findFormerRun()).toEqual({ kind: 'none' });
    expect(await platform.resultDirectory()).toBeUndefined();
    expect(await status(host, { json: true })).toBe(0);
  });

  it('lets only administrators undo', async () => {
    const { host } = windows({ 'read-system': { ...system, isAdministrator: false } });
    await expect(undo(host, {})).rejects.toThrow('an administrator of Windows');
  });

  it('refuses a bundle that is not the one for Windows', async () => {
    const { host } = windows({ 'read-system': system, 'read-disks': { bitLocker: 'absent', disks: [] } });
    const facts = (await (await platformOf(host)).capture()) as Parameters<typeof windowsSurvey>[1];
    const config = { migrate: {} } as Parameters<typeof windowsSurvey>[2]['config'];
    const survey = await windowsSurvey(host, facts, { config, workDirectory: '/w', bundleDirectory: '/b' });
    const { findings } = await survey.complete({ connections: [], findings: [] });
    expect(findings.map(({ code, message }) => [code, message])).toEqual([
      ['bundle-incomplete', 'this is not the complete bundle for Windows: /b/boot/modules/order is missing'],
    ]);
  });
});
