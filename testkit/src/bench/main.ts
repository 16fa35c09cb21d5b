// usage: pnpm bench [--json] [--rounds N] [--task NAME]...
// Exit status 1 where one of our ways is slower than the usual one, which is the first of its task.
import { parseArgs } from 'node:util';
import { type FlashBench, hasEtcher, runFlashBench } from './flash-bench.ts';
import { canLimitWrites } from './slow-disk.ts';

const { values } = parseArgs({
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    task: { type: 'string', multiple: true },
  },
});
if (!hasEtcher) console.error('etcher-sdk is left out, as it is not installed: see testkit/etcher/README.md');
if (!canLimitWrites) console.error('the slow disk is left out: it needs the blkio controller of cgroup v1');
const rounds = Number(values.rounds);
const bench = await runFlashBench({
  rounds,
  ...(values.task === undefined ? {} : { tasks: values.task }),
});
console.log(values.json ? JSON.stringify({ rounds, ...bench }, null, 2) : renderTable(bench));
if (bench.rows.some(({ way, ratio }) => way.startsWith('ours') && ratio > 1)) process.exitCode = 1;

function renderTable({ sizeBytes, rows }: FlashBench): string {
  const imageMib = sizeBytes / 1024 / 1024;
  const cells = rows.map(({ task, way, wallSeconds, cpuSeconds, peakRssMib, ratio, goal }) => [
    task.padEnd(18),
    way.padEnd(28),
    wallSeconds.toFixed(2),
    `${(imageMib / wallSeconds).toFixed(0)}`,
    ratio.toFixed(2),
    goal === undefined ? '' : `${goal.toFixed(2)}${ratio > goal ? ' missed' : ''}`,
    cpuSeconds.toFixed(2),
    peakRssMib.toFixed(0),
  ]);
  const heads = ['task'.padEnd(18), 'way'.padEnd(28), 'wall s', 'MiB/s', 'ratio', 'goal', 'CPU s', 'peak MiB'];
  const title = `image of ${imageMib} MiB, medians of ${rounds} interleaved rounds; ratio to the first of each task`;
  return [title, ...[heads, ...cells].map((line) => line.map((cell) => cell.padStart(12)).join(''))].join('\n');
}
