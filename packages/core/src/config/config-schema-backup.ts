// The setting `migrate.backup` of the configuration file.
import { oneLine } from './config-schema-values.ts';

export const backup = {
  type: ['array', 'null'],
  default: [],
  description: 'Files to take along; they become volumes of the same name in the new system.',
  'x-support': 'refused',
  items: {
    type: 'object',
    properties: {
      volume: {
        type: 'string',
        pattern: oneLine,
        description: 'Name of the volume, as the application of the fleet declares it.',
        examples: ['data'],
      },
      items: {
        type: 'array',
        minItems: 1,
        description: 'What goes into the volume.',
        items: {
          type: 'object',
          properties: {
            source: {
              type: 'string',
              pattern: oneLine,
              description: 'File or directory to copy.',
              examples: ['/home/pi/data'],
            },
            target: {
              type: ['string', 'null'],
              pattern: oneLine,
              description: 'Directory in the volume; left out: its root.',
              examples: ['old'],
            },
            filter: {
              type: ['string', 'null'],
              pattern: oneLine,
              description: 'Regular expression; only files whose path matches are copied.',
              examples: ['balena-.*'],
            },
          },
          required: ['source'],
          additionalProperties: false,
        },
      },
    },
    required: ['volume', 'items'],
    additionalProperties: false,
  },
} as const;
