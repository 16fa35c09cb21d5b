// The program that the benchmark runs as a process of its own: the product's code on a real file and a real device.
// usage: image-actions prove IMAGE FACTS | flash IMAGE FACTS DEVICE | verify IMAGE FACTS DEVICE
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

const [action, imagePath = '', factsPath = '', devicePath = ''] = process.argv.slice(2);
const host = createNodeHost();
const emit = (): void => {};

if (action === 'prove') {
  writeFileSync(factsPath, JSON.stringify(await proveImage({ host, path: imagePath, emit })));
} else {
  const image = JSON.parse(readFileSync(factsPath, 'utf8')) as ImageFacts;
  const source = await host.openRead(imagePath);
  const target = await host.openWrite(devicePath);
  const commitBytes = await readCommitBytes(source, image);
  if (action === 'flash') {
    await wipeOldTables(target, image);
    await flashImage({ source, image, target, emit });
    await writeCommitSectors(target, commitBytes);
  } else {
    const differing = await differingChunks({ target, image, commitBytes, emit });
    if (differing.length > 0) throw new Error(`chunks differ: ${differing.join(', ')}`);
  }
  await target.close();
  await source.close();
}
