// migrate agent install, status and remove: the agent as a service of this machine.
import {
  type AgentState,
  agentUnit,
  exitCodes,
  type Host,
  MigrateError,
  messageOf,
  readAgentState,
  readLastReport,
  unitName,
  unitPath,
} from '@migrate/core';
import { readAgentSetup } from './agent-setup.ts';
import { bundleDirectory } from './bundle.ts';
import type { CommonOptions } from './command-options.ts';

/** sd_booted(3). */
const systemdDirectory = '/run/systemd/system';
/** Gone after a reboot, and with it the agent. */
const passingDirectories = ['/tmp/', '/var/tmp/', '/run/', '/dev/'];

/** Installs and starts the service; takes back what it did where that fails. */
export async function installAgent(
  host: Host,
  options: CommonOptions,
  launcher = `${bundleDirectory}/migrate`,
): Promise<number> {
  await checkService(host, 'install');
  const { configPath, workDirectory, identity, source, config } = await readAgentSetup(host, options);
  if ((await host.status(launcher))?.kind !== 'file')
    throw new MigrateError('not-found', `${launcher} is missing: the agent is installed from the complete bundle`);
  const passing = [launcher, configPath, workDirectory].find((path) =>
    passingDirectories.some((directory) => path.startsWith(directory)),
  );
  if (passing !== undefined)
    throw new MigrateError(
      'unsupported',
      `${passing} may be gone after a reboot: put bundle and files into /opt or /root`,
    );
  const command = [launcher, 'agent', 'run', '--config', configPath, '--work-dir', workDirectory];
  const unit = new TextEncoder().encode(agentUnit({ command, workDirectory }));
  try {
    await host.writeDurable(unitPath, unit, { mode: 0o644 });
    await host.run('systemctl', ['daemon-reload']);
    await host.run('systemctl', ['enable', unitName]);
    await host.run('systemctl', ['restart', unitName]);
  } catch (thrown) {
    await takeAway(host);
    throw new MigrateError('command-failed', `installing the agent: ${messageOf(thrown)}; everything was taken back`, {
      cause: thrown,
    });
  }
  const reboots =
    config.migrate.rebootSeconds === undefined ? ' It will not reboot by itself: migrate.reboot is not set.' : '';
  process.stdout.write(
    `The agent is installed and waits for a go-ahead from ${placeOf(source)}.\nThis device is called ${identity.device} there.${reboots}\n`,
  );
  return exitCodes.done;
}

function placeOf(source: Awaited<ReturnType<typeof readAgentSetup>>['source']): string {
  if (source.kind === 'watch') return source.path;
  return source.kind === 'url' ? source.url : 'the variables of the device';
}

/** Stops and removes the service. What it remembers stays: an old go-ahead must not count again after another install. */
export async function removeAgent(host: Host): Promise<number> {
  await checkService(host, 'remove');
  const wasThere = (await host.status(unitPath)) !== undefined;
  await takeAway(host);
  process.stdout.write(wasThere ? 'The agent was stopped and removed.\n' : 'There is no agent to remove.\n');
  return exitCodes.done;
}

async function takeAway(host: Host): Promise<void> {
  if ((await host.status(unitPath)) === undefined) return;
  // It may never have come as far as being enabled.
  await host.run('systemctl', ['disable', '--now', unitName], { timeoutMs: 400_000 }).catch(() => undefined);
  await host.removeFile(unitPath);
  await host.run('systemctl', ['daemon-reload']);
}

/** What the agent is doing and has last reported. */
export async function agentStatus(host: Host, options: CommonOptions): Promise<number> {
  const isInstalled = (await host.status(unitPath)) !== undefined;
  const isRunning =
    isInstalled &&
    (await host.run('systemctl', ['is-active', unitName]).then(
      () => true,
      () => false,
    ));
  const device = await readAgentSetup(host, options).then(
    ({ identity }) => identity.device,
    () => undefined,
  );
  const state = await readAgentState(host);
  const report = await readLastReport(host);
  if (options.json) {
    const known = { installed: isInstalled, running: isRunning, device: device ?? null, state, report: report ?? null };
    process.stdout.write(`${JSON.stringify(known, null, 2)}\n`);
  } else {
    process.stdout.write(statusText({ isInstalled, isRunning, device, state, report }));
  }
  return exitCodes.done;
}

interface Status {
  readonly isInstalled: boolean;
  readonly isRunning: boolean;
  readonly device: string | undefined;
  readonly state: AgentState;
  readonly report: unknown;
}

function statusText({ isInstalled, isRunning, device, state, report }: Status): string {
  const agent = isInstalled ? (isRunning ? 'installed and running' : 'installed, not running') : 'not installed';
  const { outcome, message } = (report ?? {}) as { outcome?: unknown; message?: unknown };
  return [
    `agent          ${agent}`,
    `device         ${device ?? 'unknown without a sound configuration (-c FILE)'}`,
    `last go-ahead  ${state.last?.id ?? 'none yet'}${state.underway === undefined ? '' : ` (${state.underway.phase})`}`,
    ...(outcome === undefined ? [] : [`last report    ${outcome}: ${message}`]),
    '',
  ].join('\n');
}

async function checkService(host: Host, verb: string): Promise<void> {
  if (host.userId !== 0)
    throw new MigrateError('unsupported', `only root can ${verb} the agent; run the command with sudo`);
  if ((await host.status(systemdDirectory))?.kind !== 'directory') {
    throw new MigrateError(
      'unsupported',
      'this machine is not run by systemd: have its own init start "migrate agent run -c FILE" at boot',
    );
  }
}
