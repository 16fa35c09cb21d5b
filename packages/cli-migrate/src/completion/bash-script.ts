import type { CompletedCommand, CompletedOption, Value } from './completion-words.ts';

/** See bash(1), "Programmable Completion". Bash splits "--option=value" into three words, hence the look two words back. */
export function bashScript(name: string, commands: readonly CompletedCommand[]): string {
  return `# bash completion for ${name}: source it, or save it as /usr/share/bash-completion/completions/${name}
_${name}() {
  local word=\${COMP_WORDS[COMP_CWORD]} option=\${COMP_WORDS[COMP_CWORD-1]} command='' index
  if [[ $word == = ]]; then word=; elif [[ $option == = ]]; then option=\${COMP_WORDS[COMP_CWORD-2]}; fi
  for ((index = 1; index < COMP_CWORD; index++)); do
    case \${COMP_WORDS[index]} in
      ${namesOf(commands).join(' | ')}) command=\${COMP_WORDS[index]}; break ;;
    esac
  done
  COMPREPLY=()
  case $command:$option in
${commands.flatMap((command) => optionsWithValue(command).map((option) => bashValue(command, option))).join('\n')}
  esac
  case $command:$word in
${commands.map(bashFlags).join('\n')}
  esac
  case $command in
${commands.map((command) => bashArgument(command, commands)).join('\n')}
  esac
}
complete -F _${name} ${name}
`;
}

function bashValue({ name }: CompletedCommand, { flags, value }: CompletedOption): string {
  return `    ${flags.map((flag) => `${name}:${flag}`).join(' | ')}) ${bashWords(value)}; return ;;`;
}

function bashFlags({ name, options }: CompletedCommand): string {
  const flags = options.flatMap((option) => option.flags).join(' ');
  return `    ${name}:-*) mapfile -t COMPREPLY < <(compgen -W '${flags}' -- "$word"); return ;;`;
}

function bashArgument({ name, argument }: CompletedCommand, commands: readonly CompletedCommand[]): string {
  const words = name === '' ? { kind: 'choices' as const, words: namesOf(commands) } : argument;
  return `    ${name === '' ? "''" : name}) ${bashWords(words)} ;;`;
}

function bashWords(value: Value | undefined): string {
  if (value === undefined || value.kind === 'text') return ':';
  if (value.kind === 'choices') return `mapfile -t COMPREPLY < <(compgen -W '${value.words.join(' ')}' -- "$word")`;
  const directories = value.kind === 'directory' ? '-d' : '-f';
  return `compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen ${directories} -- "$word")`;
}

function optionsWithValue({ options }: CompletedCommand): readonly CompletedOption[] {
  return options.filter(({ value }) => value !== undefined);
}

function namesOf(commands: readonly CompletedCommand[]): readonly string[] {
  return commands.map(({ name }) => name).filter((name) => name !== '');
}
