// usage: pnpm bench [--json] [--rounds N] [--image-mib N]
// Exit status 1 where one of our ways is slower than the usual one.
import { parseArgs } from 'node:util';
import { type BenchRow, runFlashBench } from './flash-bench.ts';
import { runOpenBench } from './open-bench.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    'image-mib': { type: 'string', default: '640' },
  },
});
const rounds = Number(values.rounds);
const imageMib = Number(values['image-mib']);
const rows = [...(await runFlashBench({ rounds, imageMib })), ...(await runOpenBench({ rounds, imageMib }))];
console.log(values.json ? JSON.stringify({ rounds, imageMib, rows }, null, 2) : renderTable(rows));
if (rows.some(({ way, ratio }) => way === 'ours' && ratio > 1)) process.exitCode = 1;

function renderTable(table: readonly BenchRow[]): string {
  const cells = table.map(({ task, way, wallSeconds, cpuSeconds, peakRssMib, ratio }) => [
    task,
    way,
    wallSeconds.toFixed(2),
    `${(imageMib / wallSeconds).toFixed(0)}`,
    ratio.toFixed(2),
    cpuSeconds.toFixed(2),
    peakRssMib.toFixed(0),
  ]);
  const lines = [['task', 'way', 'wall s', 'MiB/s', 'ratio', 'CPU s', 'peak MiB'], ...cells];
  const title = `image of ${imageMib} MiB, medians of ${rounds} interleaved rounds`;
  return [title, ...lines.map((line) => line.map((cell) => cell.padStart(11)).join(''))].join('\n');
}
