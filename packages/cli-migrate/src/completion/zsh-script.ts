import type { CompletedCommand, Value } from './completion-words.ts';

/** See zshcompsys(1), "_arguments" and "_describe". */
export function zshScript(name: string, commands: readonly CompletedCommand[]): string {
  const [program, ...rest] = commands;
  const described = rest.map((command) => `    ${zshQuoted(`${command.name}:${command.description}`)}`).join('\n');
  return `#compdef ${name}
# zsh completion for ${name}: save it as _${name} in a directory of $fpath
_${name}() {
  local curcontext=$curcontext state line
  local -A opt_args
  local -a commands=(
${described}
  )
  _arguments -C -s -A '-*' ${program === undefined ? '' : zshOptions(program)} '1: :->command' '*:: :->rest' && return
  case $state in
    command) _describe command commands ;;
    rest)
      case $words[1] in
${rest.map((command) => `        ${command.name}) _arguments -s ${zshOptions(command)} ${zshArgument(command)} ;;`).join('\n')}
      esac ;;
  esac
}
# Loaded by compinit it is called at once; sourced it announces itself.
if [[ $funcstack[1] == _${name} ]]; then _${name} "$@"; else compdef _${name} ${name}; fi
`;
}

function zshOptions({ options }: CompletedCommand): string {
  return options
    .flatMap(({ flags, description, value }) =>
      flags.map((flag) => zshQuoted(`(${flags.join(' ')})${flag}[${zshText(description)}]${zshAction(value)}`)),
    )
    .join(' ');
}

function zshArgument({ argument }: CompletedCommand): string {
  return argument === undefined ? '' : zshQuoted(`1${zshAction(argument)}`);
}

function zshAction(value: Value | undefined): string {
  if (value === undefined) return '';
  if (value.kind === 'choices') return `: :(${value.words.join(' ')})`;
  return { file: ': :_files', directory: ': :_files -/', text: ': : ' }[value.kind];
}

function zshText(text: string): string {
  return text.replaceAll(/[[\]:\\]/g, '\\$&');
}

function zshQuoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
