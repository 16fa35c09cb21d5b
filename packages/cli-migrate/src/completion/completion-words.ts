// What can be typed after "migrate", out of commander's own tree, so that nothing can be missing.
import type { Command, Option } from 'commander';

/** What an option or argument takes. */
export type Value =
  | { readonly kind: 'choices'; readonly words: readonly string[] }
  | { readonly kind: 'file' | 'directory' | 'text' };

export interface CompletedOption {
  /** "-i" and "--image". */
  readonly flags: readonly string[];
  readonly description: string;
  /** Absent for a switch. */
  readonly value?: Value;
}

export interface CompletedCommand {
  /** Empty for the program itself. */
  readonly name: string;
  readonly description: string;
  readonly options: readonly CompletedOption[];
  /** Of the first argument, where there is one. */
  readonly argument?: Value;
}

/** The program, then its commands. */
export function completedCommands(program: Command): readonly CompletedCommand[] {
  const help = program.createHelp();
  return [program, ...help.visibleCommands(program)].map((command) => {
    return {
      name: command === program ? '' : command.name(),
      description: oneLine(command.description()),
      options: help.visibleOptions(command).map(completedOption),
      ...argumentOf(command, program),
    };
  });
}

/** A command with commands of its own takes their names; what follows those is not completed. */
function argumentOf(command: Command, program: Command): Pick<CompletedCommand, 'argument'> {
  const names = command === program ? [] : command.commands.map((known) => known.name());
  if (names.length > 0) return { argument: { kind: 'choices', words: names } };
  const [argument] = command.registeredArguments;
  return argument === undefined ? {} : { argument: valueNamed(argument.name(), argument.argChoices) };
}

function completedOption(option: Option): CompletedOption {
  const flags = [option.short, option.long].filter((flag) => flag !== undefined && flag !== null);
  const takesValue = option.required || option.optional;
  const placeholder = /[<[]([^>\]]*)[>\]]/.exec(option.flags)?.[1] ?? '';
  return {
    flags,
    description: oneLine(option.description),
    ...(takesValue ? { value: valueNamed(placeholder, option.argChoices) } : {}),
  };
}

function valueNamed(placeholder: string, words: readonly string[] | undefined): Value {
  if (words !== undefined) return { kind: 'choices', words };
  if (/^(file|path)/.test(placeholder)) return { kind: 'file' };
  return { kind: placeholder.startsWith('directory') ? 'directory' : 'text' };
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replace(/\.$/, '');
}
