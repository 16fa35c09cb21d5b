import type { OperatingSystem } from './facts.ts';

/** Parses os-release(5): shell-like assignments, one a line. Unknown keys and malformed lines are passed over. */
export function parseOsRelease(text: string): OperatingSystem {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const match = /^\s*([A-Z][A-Z0-9_]*)=(.*?)\s*$/.exec(line);
    if (match?.[1] !== undefined && match[2] !== undefined) values.set(match[1], unquote(match[2]));
  }
  const id = values.get('ID') ?? 'linux';
  const versionId = values.get('VERSION_ID') ?? '';
  return {
    id,
    versionId,
    prettyName: values.get('PRETTY_NAME') ?? `${values.get('NAME') ?? id} ${versionId}`.trim(),
    idLike: (values.get('ID_LIKE') ?? '').split(/\s+/).filter((word) => word !== ''),
  };
}

function unquote(value: string): string {
  if (value.length >= 2 && value.startsWith("'") && value.endsWith("'")) return value.slice(1, -1);
  const body = value.length >= 2 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value;
  return body.replace(/\\(["'\\$`])/g, '$1');
}
