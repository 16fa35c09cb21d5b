// Parts that several places of the configuration file's schema share: paths, hashes, references to files.

import { versionSpecPattern } from '../cloud/os-version.ts';

/** One line of text; the control characters of Unicode's first blocks are refused. */
export const oneLine = '^[^\\u0000-\\u001f\\u007f]+$';
/** Words of a kernel command line; the line breaks of a YAML block are blanks here. */
export const commandLine = '^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]*$';
export const absolutePath = '^/[^\\u0000-\\u001f\\u007f]+$';
export const httpsAddress = '^https://[^\\u0000-\\u0020\\u007f/?#@]+([/?][^\\u0000-\\u0020\\u007f]*)?$';
export const devicePath = '^/dev/[^\\u0000-\\u001f\\u007f]+$';
/** Spaces and control characters are refused; what else makes a URL is checked when it is parsed. */
export const logServerUrl = '^(https?|syslog\\+(udp|tcp|tls))://[^\\u0000-\\u0020\\u007f]+$';
const sha256Digits = '^[0-9a-fA-F]{64}$';
const sha1Digits = '^[0-9a-fA-F]{40}$';
const md5Digits = '^[0-9a-fA-F]{32}$';
export const diskId = '^([0-9a-f]{8}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$';
const partitionType = '^([0-9a-f]{2}|[0-9A-F]{8}(-[0-9A-F]{4}){3}-[0-9A-F]{12})$';
const guid = '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$';
const volumeId = '^([0-9A-F]{4}-[0-9A-F]{4}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$';
const featureName = '^[a-z0-9_]+$';

/** What a pattern of the schema asks for, to say "must be …". */
export const patternMeanings: Readonly<Record<string, string>> = {
  [oneLine]: 'one line of text without control characters',
  [commandLine]: 'text without control characters',
  [absolutePath]: 'an absolute path, starting with /',
  [devicePath]: 'a path that starts with /dev/',
  [httpsAddress]: 'an https address without a user name',
  [versionSpecPattern]: 'a version like 5.1.20, ^5.1, ~5.1.20 or latest',
  [logServerUrl]: 'an http, https, syslog+udp, syslog+tcp or syslog+tls URL',
  [sha256Digits]: '64 hexadecimal digits',
  [sha1Digits]: '40 hexadecimal digits',
  [md5Digits]: '32 hexadecimal digits',
  [diskId]: '8 hexadecimal digits, or a GUID in lower case',
  [partitionType]: 'two hexadecimal digits, or a GUID in upper case',
  [guid]: 'a GUID in lower case',
  [volumeId]: 'a UUID in lower case, or ABCD-1234 for FAT',
  [featureName]: 'the name of a feature, as mkfs.ext4 knows it',
  '^manual$': 'manual, or a section with uname',
};

/** Waits of more than a day are slips of the pen. */
export const longestWaitSeconds = 86_400;

const hash = {
  type: ['object', 'null'],
  description:
    'Expected hash of the file, one of `sha256`, `sha1` and `md5`. Prefer `sha256`: the others only prove an undamaged copy.',
  properties: {
    sha256: {
      type: 'string',
      pattern: sha256Digits,
      description: 'SHA-256, 64 hexadecimal digits.',
      examples: ['f2ca1bb6c7e907d06dafe4687e579fce76b37e4e93b7605022da52e6ccc26fd2'],
    },
    sha1: {
      type: 'string',
      pattern: sha1Digits,
      description: 'SHA-1, 40 hexadecimal digits.',
      examples: ['4e1243bd22c66e76c2ba9eddc1f91394e57f9f83'],
    },
    md5: {
      type: 'string',
      pattern: md5Digits,
      description: 'MD5, 32 hexadecimal digits.',
      examples: ['d8e8fca2dc0f896fd7cb4cb0031ba249'],
    },
  },
  additionalProperties: false,
  minProperties: 1,
  maxProperties: 1,
} as const;

const path = {
  type: 'string',
  pattern: oneLine,
  description: 'Path of the file; a relative one starts in `migrate.work_dir`.',
} as const;

/** A mapping of path and hash that may be left out; places add description and examples. */
export const fileReference = {
  type: ['object', 'null'],
  properties: { path: { ...path, examples: ['balena.img.gz'] }, hash },
  required: ['path'],
  additionalProperties: false,
} as const;

/** The same as an item of a list. */
export const fileReferenceItem = { ...fileReference, type: 'object' } as const;

/** A partition's contents: a path alone, or path and hash. */
const archive = {
  type: ['string', 'object'],
  description: 'The gzip-compressed tar archive of its files: a path, or `path` and `hash`.',
  pattern: oneLine,
  properties: { path: { ...path, examples: ['resin-boot.tgz'] }, hash },
  required: ['path'],
  additionalProperties: false,
  examples: ['resin-boot.tgz'],
} as const;

/** How the file system was made, so that one with room for the same files can be made again. */
const fileSystem = {
  type: ['object', 'null'],
  description:
    'How the file system was made, as `balena-extract` prints it. Left out: the settings that balenaOS is built with, which may leave too little room.',
  properties: {
    type: {
      type: 'string',
      enum: ['fat12', 'fat16', 'fat32', 'ext2', 'ext3', 'ext4'],
      description: 'Its kind.',
      examples: ['ext4'],
    },
    label: { type: ['string', 'null'], pattern: oneLine, description: 'Its label.', examples: ['resin-rootA'] },
    uuid: {
      type: ['string', 'null'],
      pattern: volumeId,
      description: 'Its UUID; of FAT, the volume id.',
      examples: ['d1e3f2a4-0000-4000-8000-0123456789ab'],
    },
    block_size: {
      type: ['integer', 'null'],
      minimum: 512,
      maximum: 262144,
      description: 'Bytes of a block; of FAT, of a cluster.',
      examples: [1024],
    },
    inodes: { type: ['integer', 'null'], minimum: 1, description: 'Number of inodes (ext).', examples: [39936] },
    inode_size: {
      type: ['integer', 'null'],
      minimum: 128,
      maximum: 65536,
      description: 'Bytes of an inode (ext).',
      examples: [256],
    },
    features: {
      type: ['array', 'null'],
      items: {
        type: 'string',
        pattern: featureName,
        description: 'A name as `mkfs.ext4 -O` takes it.',
        examples: ['extent'],
      },
      description: 'Features (ext).',
      examples: [['has_journal', 'extent']],
    },
  },
  required: ['type'],
  additionalProperties: false,
} as const;

export const partition = {
  type: 'object',
  properties: {
    blocks: {
      type: 'integer',
      minimum: 1,
      description: 'Size of the partition in blocks of 512 bytes.',
      examples: [81920],
    },
    archive,
    start_block: {
      type: ['integer', 'null'],
      minimum: 1,
      description: 'Where the partition starts, in blocks of 512 bytes from the start of the disk.',
      examples: [8192],
    },
    type: {
      type: ['string', 'null'],
      pattern: partitionType,
      description: 'Type in the partition table: two hexadecimal digits (MBR), or a GUID (GPT).',
      examples: ['0e'],
    },
    uuid: {
      type: ['string', 'null'],
      pattern: guid,
      description: 'GUID of the partition itself (GPT).',
      examples: ['8a7c3e52-0000-4000-8000-0123456789ab'],
    },
    file_system: fileSystem,
  },
  required: ['blocks', 'archive'],
  additionalProperties: false,
} as const;
