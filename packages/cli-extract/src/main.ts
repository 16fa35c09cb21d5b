import { interruptSignal, surviveConsole } from '@migrate/core';
import { runCommandLine } from './command-line.ts';

surviveConsole();
process.exitCode = await runCommandLine(process.argv.slice(2), interruptSignal());
