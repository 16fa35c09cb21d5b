export * from './command-line.ts';
export * from './render-description.ts';
export * from './version.ts';
