import { Command } from 'commander';
import { expect, it } from 'vitest';
import { completedCommands } from './completion-words.ts';

it('tells what options and arguments take, by their names and choices', () => {
  const program = new Command('tool')
    .option('-C <directory>', 'where')
    .option('--all', "it's all")
    .action(() => {});
  program.command('read').description('Reads.\n  A file.').argument('<file>', 'what').option('--as [name]', 'as whom');
  program.command('service').command('start');
  const help = { flags: ['-h', '--help'], description: 'display help for command' };
  expect(completedCommands(program)).toEqual([
    {
      name: '',
      description: '',
      options: [
        { flags: ['-C'], description: 'where', value: { kind: 'directory' } },
        { flags: ['--all'], description: "it's all" },
        help,
      ],
    },
    {
      name: 'read',
      description: 'Reads. A file',
      options: [{ flags: ['--as'], description: 'as whom', value: { kind: 'text' } }, help],
      argument: { kind: 'file' },
    },
    { name: 'service', description: '', options: [help], argument: { kind: 'choices', words: ['start'] } },
  ]);
});
