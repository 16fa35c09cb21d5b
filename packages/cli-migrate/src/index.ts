export * from './agent-command.ts';
export * from './cloud-progress.ts';
export * from './command-line.ts';
export * from './devices.ts';
export * from './migrate-command.ts';
export * from './prepare.ts';
export * from './step-handlers.ts';
export * from './version.ts';
