export * from './cmdline-txt.ts';
export * from './config-txt.ts';
