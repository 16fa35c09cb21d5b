import type { Emit, Host, ImageFacts } from '@migrate/core';
import { proveImage } from '../flash/prove-image.ts';
import { serializeUsedMap, usedMapPath } from './used-map-file.ts';

/**
 * Proves an image, finds its used blocks and writes the map beside it, in place of an older one. The image must be complete and
 * under its final name, since the map is bound to its bytes. Throws as proveImage does.
 */
export async function makeUsedMap(host: Host, path: string, emit: Emit): Promise<ImageFacts> {
  await host.removeFile(usedMapPath(path));
  const image = await proveImage({ host, path, emit, usedBlocks: 'find' });
  const text = new TextEncoder().encode(serializeUsedMap(image));
  await host.writeDurable(usedMapPath(path), text, { mode: 0o644 });
  return image;
}
