import { exitCodes, type Host, renderJson, renderLines } from '@migrate/core';
import { dataRootPath, type RootVerification, shortId, shownName, verifyRoot } from '@migrate/engine-preload';
import { type CommonOptions, requiredOption } from './command-options.ts';

export interface VerifyOptions extends CommonOptions {
  readonly resinData?: string;
}

/** Proves every image of a mounted resin-data. */
export async function verify(host: Host, options: VerifyOptions): Promise<number> {
  const resinData = requiredOption(options.resinData, '--resin-data');
  const emit = options.json === true ? renderJson(process.stderr) : renderLines(process.stderr);
  const result = await verifyRoot(host, `${resinData}/${dataRootPath}`, emit);
  process.stdout.write(
    options.json === true ? `${JSON.stringify(plainResult(result), null, 2)}\n` : verificationTable(result),
  );
  return result.isRight ? exitCodes.done : exitCodes.refused;
}

/** One row an image, and a line for each fault. */
export function verificationTable({ images, layers, damaged }: RootVerification): string {
  const rows = [
    ['IMAGE', 'LAYERS', 'MIB', 'STATE', 'NAMES'],
    ...images.map(({ id, layers: count, sizeBytes, isRight, references }) => [
      shortId(id),
      String(count),
      (sizeBytes / 1024 / 1024).toFixed(1),
      isRight ? 'right' : 'WRONG',
      references.map(shownName).join(', '),
    ]),
    ...damaged.map(({ id, references }) => [shortId(id), '?', '?', 'DAMAGED', references.map(shownName).join(', ')]),
  ];
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  const faults = [
    ...damaged.map(({ id, fault }) => `${shortId(id)}: ${fault}`),
    ...layers.flatMap((row) => row.faults.map((fault) => `layer ${shortId(row.layer.chainId)}: ${fault}`)),
  ];
  const table = rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  );
  return `${[...table, ...faults].join('\n')}\n`;
}

function plainResult({ isRight, images, layers, damaged }: RootVerification) {
  const rows = layers.map(({ layer, usedBy, faults }) => {
    const { chainId, diffId, cacheId, sizeBytes } = layer;
    return { chainId, diffId, cacheId, sizeBytes, usedBy, faults };
  });
  return { isRight, images, layers: rows, damaged };
}
