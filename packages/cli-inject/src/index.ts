export * from './command-line.ts';
