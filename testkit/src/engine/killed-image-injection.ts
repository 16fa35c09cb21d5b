// The program that the crash tests run: an injection into an image file that kills itself ahead of its N-th change.
// usage: killed-image-injection BUNDLE IMAGE N
import { createNodeHost } from '@migrate/core';
import { openSource, withImageInjection } from '@migrate/engine-preload';
import { readTar } from '@migrate/image-tools';
import { interferingHost } from './interfering-host.ts';

const [bundle = '', image = '', last = ''] = process.argv.slice(2);
const host = interferingHost(createNodeHost(), (index, change) => {
  process.stdout.write(`${change}\n`);
  if (index === Number(last)) process.kill(process.pid, 'SIGKILL');
});
const source = await openSource(host, bundle);
const request = { source, image, grow: true, readTar, connections: [] };
await withImageInjection(host, request, ({ carryOut }) => carryOut(() => {}));
