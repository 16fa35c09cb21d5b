// The program that the benchmark runs as a process of its own: the product's code on real files.
// usage: open-actions inflate ENGINE IMAGE | convert IMAGE OUTPUT
import { createNodeHost } from '@migrate/core';
import { convertImage, type InflateEngine, openImage } from '@migrate/image-tools';

const [action, first = '', second = ''] = process.argv.slice(2);
const host = createNodeHost();

if (action === 'inflate') {
  const image = await openImage(host, second, { engine: first as InflateEngine });
  for await (const _ of image.stream());
  await image.close();
} else {
  const image = await openImage(host, first);
  await convertImage({ host, image, path: second });
  await image.close();
}
