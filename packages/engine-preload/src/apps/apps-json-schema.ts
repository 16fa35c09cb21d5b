// The one definition of apps.json in the form that today's supervisor reads: AppsJsonFormat in balena-supervisor
// src/types/state.ts and the basic types in src/types/basic.ts. Keys that it does not name are allowed there too.
import type { FromSchema } from 'json-schema-to-ts';

const shortText = { type: 'string', maxLength: 255 } as const;
const dockerName = '^[a-zA-Z0-9][a-zA-Z0-9_.-]*$';
const variableName = '^[a-zA-Z_][a-zA-Z0-9_]*$';
const configName = '^[a-zA-Z_][a-zA-Z0-9_:]*$';
const labelName = '^[!#-&(-_a-~]+$';
const digits = '^[0-9]{1,15}$';

const idMeaning = 'a whole number that is not negative, of at most 15 digits';

/** What a pattern asks for, to say "must be …". */
export const patternMeanings: Readonly<Record<string, string>> = {
  [dockerName]: 'letters, digits, "_", "." and "-", beginning with a letter or digit',
  [variableName]: 'letters, digits and "_", not beginning with a digit',
  [configName]: 'letters, digits, "_" and ":", not beginning with a digit',
  [labelName]: 'printable ASCII without blanks, quotes and backticks',
  [digits]: idMeaning,
};

/** Database ids come as numbers or as digits in quotes. */
const id = { type: ['integer', 'string'], minimum: 0, maximum: 999_999_999_999_999, pattern: digits } as const;

function namesOf<P extends string>(pattern: P) {
  return { type: 'string', maxLength: 255, pattern } as const;
}

const service = {
  type: 'object',
  properties: {
    id,
    image_id: id,
    image: shortText,
    environment: { type: 'object', propertyNames: namesOf(variableName), additionalProperties: { type: 'string' } },
    labels: { type: 'object', propertyNames: namesOf(labelName), additionalProperties: { type: 'string' } },
    running: { type: ['boolean', 'null'] },
    contract: { type: 'object' },
    composition: { type: 'object' },
  },
  required: ['id', 'image_id', 'image', 'environment', 'labels'],
} as const;

const release = {
  type: 'object',
  properties: {
    id,
    services: { type: ['object', 'null'], propertyNames: namesOf(dockerName), additionalProperties: service },
    volumes: { type: ['object', 'null'], propertyNames: namesOf(dockerName), additionalProperties: { type: 'object' } },
    networks: {
      type: ['object', 'null'],
      propertyNames: namesOf(dockerName),
      additionalProperties: { type: 'object' },
    },
  },
  required: ['id'],
} as const;

const app = {
  type: 'object',
  properties: {
    id,
    name: shortText,
    class: { type: ['string', 'null'], enum: ['fleet', 'app', 'block', null] },
    releases: { type: 'object', minProperties: 1, propertyNames: namesOf(dockerName), additionalProperties: release },
    parent_app: shortText,
    is_host: { type: 'boolean' },
  },
  required: ['id', 'name', 'releases'],
} as const;

/** JSON Schema, draft 2020-12. */
export const appsJsonSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'apps.json',
  type: 'object',
  properties: {
    config: { type: ['object', 'null'], propertyNames: namesOf(configName), additionalProperties: { type: 'string' } },
    // The uuid becomes part of the names of networks.
    apps: { type: ['object', 'null'], propertyNames: namesOf(dockerName), additionalProperties: app },
    pinDevice: { type: 'boolean' },
  },
} as const;

/** apps.json as it stands in the file. */
export type AppsJson = FromSchema<typeof appsJsonSchema>;
export type App = FromSchema<typeof app>;
export type Release = FromSchema<typeof release>;
export type Service = FromSchema<typeof service>;
