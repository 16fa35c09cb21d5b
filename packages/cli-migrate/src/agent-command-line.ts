import { interruptSignal, type Run } from '@migrate/core';
import type { Command } from 'commander';
import { runAgentCommand } from './agent-command.ts';
import { agentStatus, installAgent, removeAgent } from './agent-service.ts';
import { createBundleHost } from './bundle.ts';
import type { CommonOptions } from './command-options.ts';

/** Adds `migrate agent` with its commands. */
export function addAgentCommands(program: Command, run: Run): void {
  const agent = program
    .command('agent')
    .description('Wait for the go-ahead of an operator, then migrate: see docs/connected.md.')
    .enablePositionalOptions();
  // Options may stand before any of the words.
  const merged = (options: CommonOptions): CommonOptions => ({
    ...program.opts<CommonOptions>(),
    ...agent.opts<CommonOptions>(),
    ...options,
  });
  const add = (name: string, description: string, action: (options: CommonOptions) => Promise<number>): void => {
    agent
      .command(name)
      .description(description)
      .option('-c, --config <file>', 'configuration')
      .option('-w, --work-dir <directory>', 'where the files lie')
      .option('--json', 'print results as JSON, events as JSON lines')
      .action(run((options: CommonOptions) => action(merged(options))));
  };
  add('install', 'Install and start it as a service of systemd.', (options) =>
    installAgent(createBundleHost(), options),
  );
  add('run', 'Run it here until it is stopped.', (options) =>
    runAgentCommand(createBundleHost(), options, interruptSignal()),
  );
  add('status', 'Say what it is doing, and what it has last reported.', (options) =>
    agentStatus(createBundleHost(), options),
  );
  add('remove', 'Stop and remove the service.', () => removeAgent(createBundleHost()));
}
