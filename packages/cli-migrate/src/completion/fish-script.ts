import type { CompletedCommand, CompletedOption, Value } from './completion-words.ts';

/** See fish's "complete". */
export function fishScript(name: string, commands: readonly CompletedCommand[]): string {
  const [, ...rest] = commands;
  const names = rest.map((command) => command.name).join(' ');
  const lines = commands.flatMap((command) => {
    const condition =
      command.name === '' ? `not __fish_seen_subcommand_from ${names}` : `__fish_seen_subcommand_from ${command.name}`;
    const start = `complete -c ${name} -n '${condition}'`;
    const argument = command.argument === undefined ? [] : [`${start}${fishValue(command.argument, false)}`];
    return [...command.options.map((option) => `${start}${fishOption(option)}`), ...argument];
  });
  const words = rest.map(
    (command) =>
      `complete -c ${name} -n 'not __fish_seen_subcommand_from ${names}' -a ${command.name} -d ${fishQuoted(command.description)}`,
  );
  return `# fish completion for ${name}: save it as ~/.config/fish/completions/${name}.fish
complete -c ${name} -f
${[...words, ...lines].join('\n')}
`;
}

function fishOption({ flags, description, value }: CompletedOption): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? ` -l ${flag.slice(2)}` : ` -s ${flag.slice(1)}`));
  return `${names.join('')}${fishValue(value, true)} -d ${fishQuoted(description)}`;
}

function fishValue(value: Value | undefined, isOption: boolean): string {
  if (value === undefined) return '';
  if (value.kind === 'choices') return `${isOption ? ' -x' : ''} -a '${value.words.join(' ')}'`;
  if (value.kind === 'text') return isOption ? ' -x' : '';
  return isOption ? ' -r -F' : ' -F';
}

function fishQuoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
