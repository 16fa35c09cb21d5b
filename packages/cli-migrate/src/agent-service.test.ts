import { createMemoryHost, type MemoryHost, unitPath } from '@migrate/core';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { agentStatus, installAgent, removeAgent } from './agent-service.ts';

let printed = '';
beforeEach(() => {
  printed = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    printed += String(text);
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

const config = 'agent: { watch: /etc/drop }\nmigrate: { work_dir: /root/migrate }\n';
const options = { config: '/root/migrate/balena-migrate.yml' };
const launcher = '/opt/migrate/migrate';

function machine({ text = config, files = {}, fails = '', userId = 0 } = {}): { host: MemoryHost; ran: string[] } {
  const ran: string[] = [];
  const host = createMemoryHost({
    userId,
    files: {
      '/run/systemd/system/x': '',
      '/etc/systemd/system/x': '',
      '/etc/machine-id': '0123456789abcdef\n',
      [options.config]: text,
      [launcher]: '#!/bin/sh\n',
      ...files,
    },
    run: async (command, args) => {
      ran.push([command, ...args].join(' '));
      if (args[0] === fails) throw new Error('systemctl failed');
      return { stdout: '', stderr: '' };
    },
  });
  return { host, ran };
}

describe('installing the agent', () => {
  it('writes a unit that starts it with this configuration, and starts it', async () => {
    const { host, ran } = machine();
    expect(await installAgent(host, options, launcher)).toBe(0);
    expect(await host.readText(unitPath)).toContain(
      `ExecStart="${launcher}" "agent" "run" "--config" "${options.config}" "--work-dir" "/root/migrate"\n`,
    );
    const unit = 'balena-migrate-agent.service';
    expect(ran).toEqual(['systemctl daemon-reload', `systemctl enable ${unit}`, `systemctl restart ${unit}`]);
    expect(printed).toContain('waits for a go-ahead from /etc/drop.\nThis device is called 0123456789abcdef there.');
    expect(printed).toContain('It will not reboot by itself');
  });

  it('leaves nothing where that fails', async () => {
    const { host } = machine({ fails: 'restart' });
    const before = host.snapshot();
    await expect(installAgent(host, options, launcher)).rejects.toThrow('everything was taken back');
    expect(host.snapshot()).toEqual(before);
  });

  it.each([
    ['without systemd', { files: { '/run/systemd/system': '' } }, 'is not run by systemd'],
    ['by anyone but root', { userId: 1000 }, 'only root can install'],
    ['without a source', { text: 'migrate: {}\n' }, 'set one of agent.watch'],
    ['with two sources', { text: 'agent: { watch: /etc/x, url: https://x/ }\n' }, 'set one of agent.watch'],
    ['by variables of no device', { text: 'agent: { device_variables: true }\n' }, 'takes a config.json with uuid'],
    ['with a token that is none', { text: 'agent: { watch: /etc/x, token_file: t }\n' }, 'does not hold a token'],
    [
      'from a directory that a reboot empties',
      { text: 'agent: { watch: /etc/x }\nmigrate: { work_dir: /tmp/x }\n' },
      'gone after a reboot',
    ],
  ])('%s is refused, and changes nothing', async (_, shape, message) => {
    const { host, ran } = machine(shape);
    const before = host.snapshot();
    await expect(installAgent(host, options, launcher)).rejects.toThrow(message);
    expect(host.snapshot()).toEqual(before);
    expect(ran).toEqual([]);
  });

  it('from an incomplete bundle is refused', async () => {
    await expect(installAgent(machine().host, options, '/opt/other/migrate')).rejects.toThrow(
      '/opt/other/migrate is missing',
    );
  });
});

it('removing it keeps what go-aheads were spent', async () => {
  const state = '/var/lib/balena-migrate-agent/state.json';
  const spent = JSON.stringify({ version: 1, spentIds: ['a'], last: { id: 'a', issuedMs: 1 } });
  const { host } = machine({ files: { [state]: spent } });
  await installAgent(host, options, launcher);
  expect(await removeAgent(host)).toBe(0);
  expect(await host.status(unitPath)).toBeUndefined();
  expect(await host.readText(state)).toBe(spent);
  printed = '';
  await removeAgent(host);
  expect(printed).toBe('There is no agent to remove.\n');
});

it('its state is told to people and to programs', async () => {
  const { host } = machine({ fails: 'is-active' });
  await installAgent(host, options, launcher);
  printed = '';
  await agentStatus(host, options);
  expect(printed).toBe(
    'agent          installed, not running\ndevice         0123456789abcdef\nlast go-ahead  none yet\n',
  );
  printed = '';
  await agentStatus(host, { ...options, json: true });
  expect(JSON.parse(printed)).toMatchObject({
    installed: true,
    running: false,
    device: '0123456789abcdef',
    report: null,
  });
});
