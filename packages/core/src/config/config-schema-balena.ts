// The section `balena` of the configuration file.
import { versionSpecPattern } from '../cloud/os-version.ts';
import { diskId, fileReference, longestWaitSeconds, oneLine, partition } from './config-schema-values.ts';

const fs = {
  type: ['object', 'null'],
  description:
    'Create partitions and file systems and unpack archives into them, as printed by `balena-extract`. One of `dd` and `fs`. Not for machines that boot by BIOS.',
  properties: {
    device_slug: {
      type: 'string',
      pattern: oneLine,
      description: 'Device type that the archives were extracted for. A BeagleBoard xM says `beaglebone-black`.',
      examples: ['beaglebone-green'],
    },
    check: {
      type: ['string', 'null'],
      enum: ['none', 'ro', 'rw', 'None', 'Read', 'ReadWrite', null],
      default: 'none',
      description:
        'Search for bad blocks while formatting: `none`, `ro` (or `Read`), `rw` (or `ReadWrite`: writes too, slow).',
      examples: ['ro'],
    },
    max_data: {
      type: ['boolean', 'null'],
      default: true,
      description: 'Whether resin-data takes the rest of the disk.',
      examples: [true],
    },
    mkfs_direct: {
      type: ['boolean', 'null'],
      default: false,
      description: 'Whether mkfs.ext4 writes past the page cache (slow).',
      examples: [false],
    },
    extended_blocks: {
      type: ['integer', 'null'],
      minimum: 1,
      description: 'Size of the extended partition in blocks of 512 bytes.',
      examples: [2162688],
    },
    table: {
      type: ['string', 'null'],
      enum: ['mbr', 'gpt', null],
      description: 'Kind of the partition table; left out: `mbr`.',
      examples: ['mbr'],
    },
    disk_id: {
      type: ['string', 'null'],
      pattern: diskId,
      description: 'Identity of the disk in the partition table: 8 hexadecimal digits (MBR), or a GUID (GPT).',
      examples: ['7a7a7a7a'],
    },
    boot: { ...partition, description: 'The partition resin-boot.' },
    root_a: { ...partition, description: 'The partition resin-rootA.' },
    root_b: { ...partition, description: 'The partition resin-rootB.' },
    state: { ...partition, description: 'The partition resin-state.' },
    data: { ...partition, description: 'The partition resin-data.' },
  },
  required: ['device_slug', 'boot', 'root_a', 'root_b', 'state', 'data'],
  additionalProperties: false,
} as const;

const given = { type: 'object' } as const;

const download = {
  type: ['object', 'null'],
  description:
    'The image of this version for the `deviceType` in config.json, from the API that config.json names. `migrate download` and mode `connected` fetch it into `migrate.work_dir`; the other modes take the newest one that lies there.',
  properties: {
    version: {
      type: 'string',
      pattern: versionSpecPattern,
      description:
        'Version of balenaOS: exact, `^5.1` (5.1 or newer, below 6), `~5.1` (below 5.2), or `latest`. Prereleases only by their exact name.',
      examples: ['^5.1'],
    },
  },
  required: ['version'],
  additionalProperties: false,
} as const;

const api = {
  type: ['object', 'null'],
  description: 'Check before migrating that the API of the fleet answers; one that does not is refused.',
  properties: {
    host: {
      type: ['string', 'null'],
      pattern: oneLine,
      description: 'Host name; left out: the one of `apiEndpoint` in config.json.',
      examples: ['api.balena-cloud.com'],
    },
    port: {
      type: ['integer', 'null'],
      minimum: 1,
      maximum: 65535,
      description: 'TCP port; left out: the one of `apiEndpoint`, 443 where `host` is given.',
      examples: [443],
    },
    check: {
      type: ['boolean', 'null'],
      default: true,
      description: 'Whether to make the check.',
      examples: [true],
    },
    check_key: {
      type: ['boolean', 'null'],
      default: false,
      description: 'Whether to check as well that the API accepts the key in config.json.',
      examples: [true],
    },
    report_progress: {
      type: ['boolean', 'null'],
      default: false,
      description:
        'Whether to show the progress of stage 1 in the dashboard. It takes `uuid` and `deviceApiKey` in config.json.',
      examples: [true],
    },
    key: {
      type: ['string', 'null'],
      'x-support': 'ignored',
      description: 'Accepted for old files and never read: the key in config.json is the one that counts.',
    },
  },
  additionalProperties: false,
} as const;

export const balenaSection = {
  type: ['object', 'null'],
  description: 'What is put on the disk, and the fleet that the device joins.',
  properties: {
    image: {
      type: ['object', 'null'],
      description: 'The balenaOS image: one file (`dd`), archives (`fs`), or one from the balena API (`download`).',
      properties: {
        dd: {
          ...fileReference,
          description:
            'The whole image: raw, or packed with gzip or zstd, which is told by its content. zstd takes a quarter less memory in stage 2.',
          examples: [{ path: 'balena.img.gz' }],
        },
        fs,
        download,
        write_unused: {
          type: ['boolean', 'null'],
          default: false,
          description:
            'Whether `dd` or `download` also writes the blocks of the image that hold nothing. It takes several times as long; without it those blocks keep what the old system left there.',
          examples: [true],
        },
      },
      not: {
        anyOf: [
          { type: 'object', properties: { dd: given, fs: given }, required: ['dd', 'fs'] },
          { type: 'object', properties: { dd: given, download: given }, required: ['dd', 'download'] },
          { type: 'object', properties: { fs: given, download: given }, required: ['fs', 'download'] },
        ],
      },
      additionalProperties: false,
      examples: [{ dd: { path: 'balena.img.gz' } }],
    },
    config: {
      ...fileReference,
      description: 'The config.json of the fleet, downloaded from its dashboard.',
      examples: [{ path: 'config.json' }],
    },
    app_name: {
      type: ['string', 'null'],
      pattern: oneLine,
      description: 'Name of the fleet; when given, it must be the `applicationName` in config.json.',
      examples: ['bbtest'],
    },
    api,
    check_vpn: {
      type: ['boolean', 'null'],
      default: true,
      description:
        'Whether to check before migrating that the VPN endpoint in config.json answers; one that does not brings a warning.',
      examples: [true],
    },
    check_timeout: {
      type: ['integer', 'null'],
      minimum: 1,
      maximum: longestWaitSeconds,
      default: 20,
      description: 'Seconds that each of these checks may take.',
      examples: [20],
    },
  },
  additionalProperties: false,
} as const;
