import { surviveConsole } from '@migrate/core';
import { runCommandLine } from './command-line.ts';

const interrupt = new AbortController();
// The first one cleans up; a second one ends the process at once.
process.once('SIGINT', () => interrupt.abort());
process.once('SIGTERM', () => interrupt.abort());
surviveConsole();
process.exitCode = await runCommandLine(process.argv.slice(2), interrupt.signal);
