import { basename } from 'node:path';
import { doing, type Host, type HostReader, MigrateError } from '@migrate/core';
import { compressionOf } from '../open/image-compression.ts';
import type { ConfigurationFile } from './check-configuration.ts';
import { type ConfigureResult, configureImage } from './configure-image.ts';

export interface ConfigureFileRequest {
  /** A raw image, which is changed in place. */
  readonly imagePath: string;
  readonly configPath: string;
  /** NetworkManager connection files; they keep their names. */
  readonly connectionPaths: readonly string[];
}

/** configureImage for files of this machine. Throws `unsupported` for an image that is packed. */
export async function configureImageFile(
  host: Host,
  { imagePath, configPath, connectionPaths }: ConfigureFileRequest,
): Promise<ConfigureResult> {
  const configuration = {
    configJson: { name: configPath, contents: await host.readFile(configPath) },
    connections: await Promise.all(connectionPaths.map((path) => readConnection(host, path))),
  };
  await refusePacked(host, imagePath);
  const image = await host.openWrite(imagePath);
  try {
    return await doing(`configuring ${imagePath}`, 'write-failed', () =>
      configureImage({ image, configuration, modified: host.now() }),
    );
  } finally {
    await image.close();
  }
}

async function readConnection(host: HostReader, path: string): Promise<ConfigurationFile> {
  return { name: basename(path), contents: await host.readFile(path) };
}

async function refusePacked(host: HostReader, path: string): Promise<void> {
  const reader = await host.openRead(path);
  try {
    const compression = await compressionOf(reader, path);
    if (compression !== 'none') {
      throw new MigrateError(
        'unsupported',
        `${path} is packed with ${compression}; unpack it first, as it is changed in place`,
      );
    }
  } finally {
    await reader.close();
  }
}
