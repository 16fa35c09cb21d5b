// usage: pnpm bench [flash|engine] [--json] [--rounds N] [--image-mib N]
// Exit status 1 where one of our ways is slower than the usual one.
import { parseArgs } from 'node:util';
import { meetsEngineGoals, renderEngineRows, runEngineBench } from './engine-bench.ts';
import { type BenchRow, runFlashBench } from './flash-bench.ts';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    'image-mib': { type: 'string', default: '640' },
  },
});
const rounds = Number(values.rounds);
const imageMib = Number(values['image-mib']);
const isWanted = (name: string): boolean => positionals.length === 0 || positionals.includes(name);
if (isWanted('flash')) {
  const rows = await runFlashBench({ rounds, imageMib });
  console.log(values.json ? JSON.stringify({ rounds, imageMib, rows }, null, 2) : renderTable(rows));
  if (rows.some(({ way, ratio }) => way === 'ours' && ratio > 1)) process.exitCode = 1;
}
if (isWanted('engine')) {
  const rows = await runEngineBench({ rounds, imageMib });
  console.log(values.json ? JSON.stringify({ rounds, imageMib, rows }, null, 2) : renderEngineRows(rows, imageMib));
  if (!meetsEngineGoals(rows)) process.exitCode = 1;
}

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
  return [title, ...lines.map((line) => line.map((cell) => cell.padStart(9)).join(''))].join('\n');
}
