// The one definition of balena-migrate.yml. From it come the type of the file form, the checks, the published schema for editors
// and docs/configuration.md. `x-support` says where this version does not do what a setting asks; without it the setting is used.
import type { FromSchema } from 'json-schema-to-ts';
import { agentSection } from './config-schema-agent.ts';
import { balenaSection } from './config-schema-balena.ts';
import { migrateSection } from './config-schema-migrate.ts';

/** The schema's own keyword: `refused` settings stop a migration (check-settings.ts), `ignored` ones have no effect. */
export const supportKeyword = 'x-support';

/** JSON Schema, draft 2020-12 (https://json-schema.org/draft/2020-12). `null` (`~`) in the file means the default everywhere. */
export const configSchema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'balena-migrate.yml',
  description: 'Configuration of a migration to balenaOS.',
  type: 'object',
  properties: {
    migrate: migrateSection,
    balena: balenaSection,
    agent: agentSection,
    debug: {
      type: ['object', 'null'],
      description: 'For trying things out.',
      properties: {
        no_flash: {
          type: ['boolean', 'null'],
          default: false,
          description:
            'Go through stage 2 up to the point of no return, then boot the old system again. The original migrator does so unless this is `false`.',
          examples: [true],
        },
      },
      additionalProperties: false,
    },
  },
  additionalProperties: false,
} as const;

/** The file form, with the snake_case keys of the YAML file. */
export type ConfigFile = FromSchema<typeof configSchema, { keepDefaultedPropertiesOptional: true }>;

/** Any node of the schema, as messages and the reference read it. */
export interface SettingSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly default?: unknown;
  readonly examples?: readonly unknown[];
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly properties?: Readonly<Record<string, SettingSchema>>;
  readonly required?: readonly string[];
  readonly items?: SettingSchema;
  readonly 'x-support'?: 'refused' | 'ignored';
}
