// The program that the benchmark runs as a process of its own.
// usage: engine-actions SOURCE TARGET IMAGE…
import { createNodeHost } from '@migrate/core';
import { directorySource, transplant } from '@migrate/engine-preload';

const [source = '', root = '', ...names] = process.argv.slice(2);
const host = createNodeHost();
await transplant({ host, source: await directorySource(host, source), names, root, emit: () => {} });
