/** A file that the migration takes along, as it was read before anything was changed. */
export interface AssetFile {
  readonly path: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}
