// The program that the benchmark runs as a process of its own: the product's code on a real file and a real device.
// usage: image-actions ACTION IMAGE FACTS [DEVICE]
// prove-all and prove-used write the facts; flash, verify and flash-verify go by them.
import { readFileSync, writeFileSync } from 'node:fs';
import { createNodeHost, type ImageFacts } from '@migrate/core';
import {
  differingChunks,
  flashImage,
  proveImage,
  readCommitBytes,
  wipeOldTables,
  writeCommitSectors,
} from '@migrate/image-tools';

const [action = '', imagePath = '', factsPath = '', devicePath = ''] = process.argv.slice(2);
const host = createNodeHost();
const emit = (): void => {};

if (action.startsWith('prove')) {
  const extent = action === 'prove-used' ? { usedBlocks: 'find' as const } : {};
  writeFileSync(factsPath, JSON.stringify(await proveImage({ host, path: imagePath, emit, ...extent })));
} else {
  const image = JSON.parse(readFileSync(factsPath, 'utf8')) as ImageFacts;
  const source = await host.openRead(imagePath);
  const target = await host.openDisk(devicePath);
  const commitBytes = await readCommitBytes(source, image);
  if (action.startsWith('flash')) {
    await wipeOldTables(target, image);
    await flashImage({ source, image, target, emit });
  }
  if (action === 'flash-verify') await host.dropCaches();
  if (action.endsWith('verify')) {
    const differing = await differingChunks({ target, image, commitBytes, emit });
    if (differing.length > 0) throw new Error(`chunks differ: ${differing.join(', ')}`);
  }
  if (action.startsWith('flash')) await writeCommitSectors(target, commitBytes);
  await target.close();
  await source.close();
}
