// The one way to PowerShell. Windows PowerShell 5.1 is on every Windows since 10; scripts keep to what it knows.
import { type Host, MigrateError, messageOf } from '@migrate/core';

export type PlainJson = null | boolean | number | string | readonly PlainJson[] | { readonly [key: string]: PlainJson };

/** What an operation is told; its script has it in `$a`. Never a secret: it stands in a command line. */
export type OperationArguments = Readonly<Record<string, PlainJson>>;

/** The commands of storage wait for other programs that use a disk, and shrinking NTFS moves its files. */
const usualTimeoutMs = 300_000;
const timeoutsMs: Readonly<Record<string, number>> = { 'resize-partition': 7_200_000 };
/** CreateProcess (processthreadsapi.h) takes a command line of 32,767 characters. */
const commandLineLimit = 32_000;
const tailLength = 500;

/**
 * Where 5.1 has its own modules, and where it looks for those of the machine (learn.microsoft.com, about_PSModulePath). Started from
 * PowerShell 7 it inherits that one's path, and then takes modules that it cannot load. First of all, as every command may load one.
 */
const modulePath = '$env:PSModulePath = "$PSHOME\\Modules;$env:ProgramFiles\\WindowsPowerShell\\Modules"';

/** Language, code page and display of progress must not change what is printed. There may be no console to have a code page. */
const prelude = [
  modulePath,
  'try { [Console]::OutputEncoding = New-Object System.Text.UTF8Encoding $false } catch { }',
  "$ErrorActionPreference = 'Stop'",
  "$ProgressPreference = 'SilentlyContinue'",
  "$WarningPreference = 'SilentlyContinue'",
];

/**
 * The whole text that PowerShell runs. Its first line names the operation and its arguments, for whoever reads a log of started
 * scripts.
 */
export function operationScript(operation: string, args: OperationArguments, script: string): string {
  const json = asciiJson(args);
  return [
    `# migrate:${operation} ${json}`,
    ...prelude,
    'try {',
    `$a = '${json.replaceAll("'", "''")}' | ConvertFrom-Json`,
    '$printed = (& {',
    script.trim(),
    "}) -join ''",
    // ASCII reaches us through any code page.
    "[Console]::Out.Write([regex]::Replace($printed, '[^\\x00-\\x7f]', { param($m) '\\u{0:x4}' -f [int][char]$m.Value }))",
    '} catch {',
    // Without it PowerShell answers with an exit code of 1 and XML.
    '  [Console]::Error.WriteLine($_.Exception.Message)',
    '  exit 1',
    '}',
    '',
  ].join('\n');
}

/** The arguments of powershell.exe: a script encoded so that no quote of it is read by anyone else. */
export function encodedCommand(script: string): readonly string[] {
  const encoded = Buffer.from(script, 'utf16le').toString('base64');
  if (encoded.length > commandLineLimit) throw new Error(`the script of ${encoded.length} characters is too long`);
  return ['-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-EncodedCommand', encoded];
}

/**
 * Runs an operation and returns what it prints, one JSON document, not yet typed. Throws `command-failed` or `timeout` with the
 * operation's name and what PowerShell says, `invalid-input` for output that is no JSON.
 */
export async function runPowerShell(
  host: Pick<Host, 'run'>,
  operation: string,
  args: OperationArguments,
  script: string,
): Promise<unknown> {
  const stdout = await started(host, operation, encodedCommand(operationScript(operation, args, script)));
  try {
    return JSON.parse(stdout.replace(/^\uFEFF/, ''));
  } catch {
    // What it printed may hold a password.
    throw new MigrateError(
      'invalid-input',
      `${operation}: PowerShell printed ${stdout.length} characters that are no JSON`,
    );
  }
}

async function started(host: Pick<Host, 'run'>, operation: string, args: readonly string[]): Promise<string> {
  try {
    const timeoutMs = timeoutsMs[operation] ?? usualTimeoutMs;
    return (await host.run('powershell.exe', args, { timeoutMs })).stdout;
  } catch (thrown) {
    if (!(thrown instanceof MigrateError)) throw thrown;
    // The message of the host holds the whole encoded command.
    const said = typeof thrown.data.stderr === 'string' ? thrown.data.stderr.trim().slice(-tailLength) : '';
    const reason = said === '' ? whyOf(thrown) : said;
    throw new MigrateError(thrown.code, `${operation}: ${reason}`, { data: { operation } });
  }
}

function whyOf({ code, message, data }: MigrateError): string {
  if (code === 'timeout') return 'PowerShell did not end in time';
  if (code === 'not-found') return messageOf(message);
  return `PowerShell failed with exit status ${String(data.exitStatus ?? 'unknown')}`;
}

/** One line of ASCII, so that no encoding on the way can change it. */
function asciiJson(value: PlainJson): string {
  return JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
