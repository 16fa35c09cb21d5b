// What tests of other packages build upon; no part of the program.
export * from './assets/sound-assets-fixture.ts';
