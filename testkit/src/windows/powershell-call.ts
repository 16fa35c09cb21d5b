// What a call of PowerShell by migrate asks for, told by the first line of its script: "# migrate:<operation> <JSON>".

export interface PowerShellCall {
  readonly operation: string;
  readonly arguments: Readonly<Record<string, unknown>>;
}

const wantedArguments = ['-NoProfile', '-NonInteractive', '-ExecutionPolicy', 'Bypass', '-EncodedCommand'];

/** Throws where the program is started in any other way than migrate does. */
export function powerShellCall(args: readonly string[]): PowerShellCall {
  const [encoded = '', ...more] = args.slice(wantedArguments.length);
  if (wantedArguments.some((word, index) => args[index] !== word) || more.length > 0)
    throw new Error(`migrate does not start PowerShell like this: ${args.join(' ').slice(0, 200)}`);
  const script = Buffer.from(encoded, 'base64').toString('utf16le');
  const [, operation, json] = /^# migrate:([a-z-]+) (\{.*\})\n/.exec(script) ?? [];
  if (operation === undefined || json === undefined)
    throw new Error(`the script does not say what it does: ${script.slice(0, 200)}`);
  return { operation, arguments: JSON.parse(json) as Record<string, unknown> };
}
