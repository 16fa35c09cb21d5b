import {
  deviceTypeMismatch,
  type Finding,
  parseConfigJson,
  parseConnectionFile,
  sameConnectionNames,
  textAsIs,
} from '@migrate/core';
import type { Inspection } from '../inspect/inspect-image.ts';

/** A file for the boot partition, as it was read. */
export interface ConfigurationFile {
  /** config.json: what messages call it. Connections: its name in system-connections too. */
  readonly name: string;
  readonly contents: Uint8Array;
}

export interface ImageConfiguration {
  readonly configJson: ConfigurationFile;
  /** NetworkManager connection files. */
  readonly connections: readonly ConfigurationFile[];
}

/** Everything that is wrong with a configuration for an image; the same rules as for a migration. */
export function checkConfiguration(
  { configJson, connections }: ImageConfiguration,
  { deviceType }: Pick<Inspection, 'deviceType'>,
): readonly Finding[] {
  const parsed = parseConfigJson(textAsIs(configJson.contents), configJson.name);
  return [
    ...parsed.findings,
    ...deviceTypeMismatch(deviceType, parsed.configJson?.deviceType),
    ...connections.flatMap(({ name, contents }) => parseConnectionFile(name, textAsIs(contents)).findings),
    ...sameConnectionNames(connections, 'connections'),
  ];
}
