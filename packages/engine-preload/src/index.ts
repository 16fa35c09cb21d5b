export * from './apps/apps-json-schema.ts';
export * from './apps/check-images.ts';
export * from './apps/from-compose.ts';
export * from './apps/from-target-state.ts';
export * from './apps/image-name.ts';
export * from './apps/parse-apps-json.ts';
export * from './apps/services-of.ts';
