// Parts that several places of the configuration file's schema share: paths, hashes, references to files.

/** One line of text; the control characters of Unicode's first blocks are refused. */
export const oneLine = '^[^\\u0000-\\u001f\\u007f]+$';
/** Words of a kernel command line; the line breaks of a YAML block are blanks here. */
export const commandLine = '^[^\\u0000-\\u0008\\u000b\\u000c\\u000e-\\u001f\\u007f]*$';
export const absolutePath = '^/[^\\u0000-\\u001f\\u007f]+$';
export const devicePath = '^/dev/[^\\u0000-\\u001f\\u007f]+$';
const sha256Digits = '^[0-9a-fA-F]{64}$';
const sha1Digits = '^[0-9a-fA-F]{40}$';
const md5Digits = '^[0-9a-fA-F]{32}$';

/** What a pattern of the schema asks for, to say "must be …". */
export const patternMeanings: Readonly<Record<string, string>> = {
  [oneLine]: 'one line of text without control characters',
  [commandLine]: 'text without control characters',
  [absolutePath]: 'an absolute path, starting with /',
  [devicePath]: 'a path that starts with /dev/',
  [sha256Digits]: '64 hexadecimal digits',
  [sha1Digits]: '40 hexadecimal digits',
  [md5Digits]: '32 hexadecimal digits',
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
  },
  required: ['blocks', 'archive'],
  additionalProperties: false,
} as const;
