/** Blocks that follow each other both in a file and on the disk. Blocks of a file between runs read as zeros. */
export interface BlockRun {
  readonly fileBlock: number;
  readonly diskBlock: number;
  readonly blocks: number;
}

/** Takes the next blocks of a file, in ascending order. Throws `invalid-input` where they cannot be. */
export type AddBlocks = (run: BlockRun, isWritten: boolean) => void;
