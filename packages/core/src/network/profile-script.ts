// Proxy variables that login shells get from /etc/profile and /etc/profile.d (bash(1), INVOCATION), without running anything.

export interface ScriptProxies {
  readonly assignments: readonly (readonly [name: string, value: string])[];
  /** Whether a proxy is also set under conditions, or computed, which only running the script would tell. */
  readonly isUnclear: boolean;
}

const assignment = /(\w+)=((?:"[^"]*"|'[^']*'|[^\s"';#&|<>()])*)/y;
const setsProxy = /\b(?:https?|all|no)_proxy=/i;

/**
 * What a script sets on its own lines at their start; "$name" stands for what it has set before. A proxy that stands indented, behind
 * other commands or made of anything else is unclear.
 */
export function readProfileScript(text: string): ScriptProxies {
  const values = new Map<string, string>();
  const assignments: (readonly [string, string])[] = [];
  let isUnclear = false;
  for (const line of text.replaceAll('\\\n', ' ').split('\n')) {
    const found = plainAssignments(line, values);
    if (found === undefined) isUnclear ||= setsProxy.test(line.replace(/(^|\s)#.*$/, ''));
    for (const [name, value] of found ?? []) {
      values.set(name, value);
      assignments.push([name, value]);
    }
  }
  return { assignments, isUnclear };
}

/** Undefined for a line that does anything else, or whose values cannot be known. */
function plainAssignments(line: string, before: ReadonlyMap<string, string>): [string, string][] | undefined {
  const known = new Map(before);
  const found: [string, string][] = [];
  let at = /^(?:export\s+|(?:declare|typeset)\s+-x\s+)?/.exec(line)?.[0].length ?? 0;
  for (;;) {
    assignment.lastIndex = at;
    const [whole, name = '', raw = ''] = assignment.exec(line) ?? [];
    if (whole === undefined) break;
    const value = expand(raw, known);
    if (value === undefined) return undefined;
    known.set(name, value);
    found.push([name, value]);
    at += whole.length;
    at += /^[ \t]*/.exec(line.slice(at))?.[0].length ?? 0;
  }
  return /^(?:;\s*(?:export(?:\s+\w+)*)?\s*)?(?:#.*)?$/.test(line.slice(at)) ? found : undefined;
}

/** The words of a value with their quotes taken away (bash(1), QUOTING); undefined where that takes more than variables. */
function expand(raw: string, known: ReadonlyMap<string, string>): string | undefined {
  let isKnown = true;
  const value = raw.replace(/"([^"]*)"|'([^']*)'|([^"']+)/g, (_, double?: string, single?: string, bare?: string) => {
    if (single !== undefined) return single;
    const text = double ?? bare ?? '';
    const replaced = text.replace(/\$(?:\{(\w+)\}|(\w+))/g, (__, braced?: string, plain?: string) => {
      const other = known.get(braced ?? plain ?? '');
      if (other === undefined) isKnown = false;
      return other ?? '';
    });
    if (/[\\`]|\$[^\s]/.test(text.replace(/\$(?:\{\w+\}|\w+)/g, ''))) isKnown = false;
    return replaced;
  });
  return isKnown ? value : undefined;
}
