/** Where stage 1 keeps its lock and journal, and stage 2 its payload. */
export const stateDirectory = '/var/lib/balena-migrate';
