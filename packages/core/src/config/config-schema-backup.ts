// The settings `migrate.backup` and `migrate.identity` of the configuration file.
import { oneLine } from './config-schema-values.ts';

export const backup = {
  type: ['array', 'null'],
  default: [],
  description:
    'Files to take along; they become volumes of the same name in the new system. See [backup.md](backup.md).',
  items: {
    type: 'object',
    properties: {
      volume: {
        type: 'string',
        pattern: oneLine,
        description:
          'Name of the volume, as the application of the fleet declares it: with any other name the device starts no application.',
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
              description:
                'File or directory to copy; a relative path starts in `migrate.work_dir`. Of a directory, all that lies in it is taken.',
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
              description:
                'Regular expression in the syntax of RE2; only files are taken in whose full path on this system it is found.',
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

const identityVolume = { type: ['string', 'null'], pattern: oneLine, examples: ['identity'] } as const;

export const identity = {
  type: ['object', 'null'],
  description: 'What the device keeps of being the machine that it was.',
  properties: {
    hostname: {
      type: ['boolean', 'null'],
      default: true,
      description:
        "Whether the new system gets this one's hostname, by `hostname` in config.json. One that is there already stays, and names that distributions give to every machine are not taken.",
      examples: [false],
    },
    ssh_host_keys: {
      ...identityVolume,
      description:
        "Name of the volume that gets this system's SSH host keys, in its directory `ssh`, for an SSH server in a container; left out: none.",
    },
    machine_id: {
      ...identityVolume,
      description: "Name of the volume that gets this system's `machine-id`; left out: none.",
    },
  },
  additionalProperties: false,
} as const;
