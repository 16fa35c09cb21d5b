/** Copying gigabytes to a slow card takes its time; a child that hangs for ever is ended all the same. */
export const copyTimeoutMs = 24 * 60 * 60 * 1000;
