// How large the payload's partition must be.
import { type BudgetItem, error, type Finding, type PayloadLayout, type RuntimeAsset } from '@migrate/core';
import type { BootParts } from './boot-parts.ts';

const mebibyte = 1024 * 1024;
/** With hashes of every chunk of a large image. */
const planBytes = 16 * mebibyte;
/** Stage 2 leaves its log and result there when it gives way. */
const logBytes = 16 * mebibyte;
/** FAT32 of Windows has clusters of up to 16 KiB on 32 GB (Format-Volume), of which each file wastes a part. */
const clusterBytes = 16 * 1024;
/** Two tables of four bytes for each cluster of 4 KiB, and names. */
const tableShare = 0.004;
/** FAT32 begins with 65,525 clusters (Microsoft FAT specification 1.03, "FAT Type Determination"), of 4 KiB here. */
const leastBytes = 288 * mebibyte;
/** Format-Volume makes no larger FAT32. */
const mostBytes = 32 * 1024 * mebibyte;
/** A directory entry of FAT holds 32 bits of size. */
const largestFileBytes = 2 ** 32 - 1;

export interface PayloadBudget {
  readonly needed: readonly BudgetItem[];
  readonly sizeBytes: number;
  readonly findings: readonly Finding[];
}

export function payloadBudget({
  runtime,
  layout,
  boot,
  lifeboat,
}: {
  readonly runtime: RuntimeAsset;
  readonly layout: Pick<PayloadLayout, 'copied' | 'written'>;
  readonly boot: BootParts;
  /** Most bytes of a lifeboat, and of what is made for it alone. */
  readonly lifeboat?: { readonly sizeBytes: number; readonly sourceBytes: number };
}): PayloadBudget {
  const busybox = runtime.files.find(({ path }) => path === 'runtime/busybox')?.sizeBytes ?? 0;
  const files = [...runtime.files, ...layout.copied];
  const contents: BudgetItem[] = [
    { what: 'runtime', bytes: sum(runtime.files) },
    { what: 'image and other files', bytes: sum(layout.copied) + layout.written.length * clusterBytes },
    { what: 'kernel and loader', bytes: boot.kernel.sizeBytes + boot.loader.sizeBytes },
    { what: 'initramfs (at most)', bytes: busybox + sum(boot.modules) },
    { what: 'plan', bytes: planBytes },
    { what: 'log of stage 2', bytes: logBytes },
    ...(lifeboat === undefined
      ? []
      : [
          { what: 'files for the lifeboat (at most)', bytes: lifeboat.sourceBytes },
          { what: 'lifeboat (at most)', bytes: lifeboat.sizeBytes },
        ]),
  ];
  const contentBytes = contents.reduce((total, { bytes }) => total + bytes, 0);
  const needed = [
    ...contents,
    { what: 'FAT', bytes: Math.ceil(contentBytes * tableShare) + files.length * clusterBytes + 2 * mebibyte },
  ];
  const sizeBytes = Math.max(
    leastBytes,
    needed.reduce((total, { bytes }) => total + bytes, 0),
  );
  const findings: Finding[] = layout.copied
    .filter((file) => file.sizeBytes > largestFileBytes)
    .map(({ from, sizeBytes: bytes }) =>
      error(
        'payload-file-too-large',
        from,
        `it has ${Math.ceil(bytes / mebibyte)} MiB, and no file on a FAT can have more than 4095 MiB`,
        'Compress the image (gzip or zstd)',
      ),
    );
  if (sizeBytes > mostBytes)
    findings.push(
      error(
        'payload-too-large',
        'balena.image',
        `stage 2 needs ${Math.ceil(sizeBytes / mebibyte)} MiB, and Windows makes no FAT32 beyond 32 GB`,
        'Use a smaller image',
      ),
    );
  return { needed, sizeBytes, findings };
}

function sum(files: readonly { readonly sizeBytes: number }[]): number {
  return files.reduce((total, { sizeBytes }) => total + sizeBytes, 0);
}
