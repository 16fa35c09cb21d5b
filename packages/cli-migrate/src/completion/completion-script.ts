// Completion scripts for three shells. They are complete in themselves and never start the program.
import type { Command } from 'commander';
import { bashScript } from './bash-script.ts';
import { completedCommands } from './completion-words.ts';
import { fishScript } from './fish-script.ts';
import { zshScript } from './zsh-script.ts';

export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

/** The script for a shell, for a program of any name that has plain words for commands, options and choices. */
export function completionScript(program: Command, shell: Shell): string {
  const commands = completedCommands(program);
  const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript };
  return scripts[shell](program.name(), commands);
}
