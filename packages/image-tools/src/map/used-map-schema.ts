const byte = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;
const sha256 = { type: 'string', pattern: '^[0-9a-f]{64}$' } as const;

/** The form of IMAGE.usedmap.json. Version 2 shall be whatever a reader of version 1 could misunderstand. */
export const usedMapSchema = {
  type: 'object',
  properties: {
    version: { const: 1 },
    image: {
      type: 'object',
      properties: {
        /** Of the file as it lies beside the map. */
        fileBytes: byte,
        fileSha256: sha256,
        /** Of the image once inflated; the ranges count in it. */
        sizeBytes: byte,
      },
      required: ['fileBytes', 'fileSha256', 'sizeBytes'],
      additionalProperties: false,
    },
    /** Ranges are cut at its multiples, and each piece has a hash. */
    chunkBytes: { const: 2097152 },
    ranges: {
      type: 'array',
      minItems: 1,
      maxItems: 4096,
      items: {
        type: 'object',
        properties: {
          startByte: byte,
          endByte: byte,
          chunkSha256: { type: 'array', minItems: 1, items: sha256 },
        },
        required: ['startByte', 'endByte', 'chunkSha256'],
        additionalProperties: false,
      },
    },
    /** Partitions that are written from end to end, and why. */
    wholePartitions: {
      type: 'array',
      maxItems: 1024,
      items: {
        type: 'object',
        properties: { number: { type: 'integer', minimum: 1 }, why: { type: 'string', maxLength: 1000 } },
        required: ['number', 'why'],
        additionalProperties: false,
      },
    },
  },
  required: ['version', 'image', 'chunkBytes', 'ranges', 'wholePartitions'],
  additionalProperties: false,
} as const;
