// A random find must not fail a change that has nothing to do with it: where CI is set, properties try the same cases each time.
// Everywhere else they try new ones.
import fc from 'fast-check';

if (process.env.CI === 'true') fc.configureGlobal({ seed: 20261121 });
