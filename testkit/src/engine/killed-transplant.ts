// The program that the crash tests run: a transplant that kills itself ahead of its N-th change.
// usage: killed-transplant SOURCE TARGET N
import { createNodeHost } from '@migrate/core';
import { directorySource, transplant } from '@migrate/engine-preload';
import { interferingHost } from './interfering-host.ts';

const [source = '', root = '', last = ''] = process.argv.slice(2);
const host = interferingHost(createNodeHost(), (index) => {
  if (index === Number(last)) process.kill(process.pid, 'SIGKILL');
});
await transplant({ host, source: await directorySource(host, source), root, emit: () => {} });
