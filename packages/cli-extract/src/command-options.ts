import type { HashAlgorithm } from '@migrate/core';

export interface CommonOptions {
  readonly json?: boolean;
}

export interface WritingOptions extends CommonOptions {
  /** Overwrites without a question. */
  readonly yes?: boolean;
}

export interface ExtractCommandOptions extends WritingOptions {
  readonly deviceType?: string;
  readonly outputDirectory: string;
  readonly hash: HashAlgorithm;
  readonly img?: string;
  readonly balenaCfg?: string;
  readonly grub?: string;
  readonly grubBoot?: string;
  readonly grubCore?: string;
}
