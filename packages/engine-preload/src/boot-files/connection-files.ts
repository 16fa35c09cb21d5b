// NetworkManager connection files for the boot partition of balenaOS, which takes them from system-connections at each boot.
import { type Finding, parseConnectionFile, refuses } from '@migrate/core';

/** A file to write below the root of a partition. */
export interface FileToPlace {
  /** Begins with "/". */
  readonly path: string;
  readonly contents: Uint8Array;
}

export interface ConnectionText {
  readonly name: string;
  readonly text: string;
}

/** `files` is empty if a finding is an error: a device needs all of its connections or an answer why not. */
export function connectionFiles(connections: readonly ConnectionText[]): {
  readonly files: readonly FileToPlace[];
  readonly findings: readonly Finding[];
} {
  const findings = [
    ...connections.flatMap(({ name, text }) => parseConnectionFile(name, text).findings),
    ...sameNames(connections),
  ];
  if (refuses(findings)) return { files: [], findings };
  const files = connections.map(({ name, text }) => ({
    path: `/system-connections/${name}`,
    contents: new TextEncoder().encode(text),
  }));
  return { files, findings };
}

/** FAT does not tell upper from lower case. */
function sameNames(connections: readonly ConnectionText[]): Finding[] {
  const names = connections.map(({ name }) => name.toLowerCase());
  return connections.flatMap(({ name }, index) =>
    names.indexOf(name.toLowerCase()) === index
      ? []
      : [
          {
            severity: 'error' as const,
            code: 'connection-name',
            where: name,
            message: 'another file has the same name, and one would replace the other',
            hint: 'Rename one of them',
          },
        ],
  );
}
