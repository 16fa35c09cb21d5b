import type { HashAlgorithm } from '@migrate/core';
import type { InflateEngine } from '@migrate/image-tools';

export interface CommonOptions {
  readonly json?: boolean;
}

/** Of commands that unpack a whole image. */
export interface UnpackingOptions {
  readonly inflate?: InflateEngine;
}

export interface WritingOptions extends CommonOptions {
  /** Overwrites without a question. */
  readonly yes?: boolean;
}

export interface ExtractCommandOptions extends WritingOptions, UnpackingOptions {
  readonly deviceType?: string;
  readonly outputDirectory: string;
  readonly hash: HashAlgorithm;
  readonly img?: string;
  readonly balenaCfg?: string;
  readonly grub?: string;
  readonly grubBoot?: string;
  readonly grubCore?: string;
}
