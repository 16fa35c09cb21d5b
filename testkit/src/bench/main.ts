import { parseArgs } from 'node:util';
import type { Bench, BenchOptions } from './contest.ts';
import { runEngineBench } from './engine-bench.ts';
import { runExtractBench } from './extract-bench.ts';
import { hasEtcher, runFlashBench } from './flash-bench.ts';
import { runOpenBench } from './open-bench.ts';
import { canLimitWrites } from './slow-disk.ts';

const usage = `usage: pnpm bench [--json] [--rounds N] [--task NAME]... [AREA]...
Compares us with what one would use instead, in turns within one run. Areas: flash, extract and engine (these
need root), open; all where none is named. Exit status 1 where one of our ways misses its goal, or without one is slower than the first of its task.`;

const areas: Readonly<Record<string, (options: BenchOptions) => Promise<Bench>>> = {
  flash: runFlashBench,
  open: runOpenBench,
  extract: runExtractBench,
  engine: runEngineBench,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    help: { type: 'boolean', short: 'h', default: false },
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    task: { type: 'string', multiple: true },
  },
});
const unknown = positionals.filter((name) => !(name in areas));
if (values.help || unknown.length > 0) {
  console.log(unknown.length > 0 ? `no area ${unknown.join(', ')}\n${usage}` : usage);
  process.exit(unknown.length > 0 ? 2 : 0);
}
const rounds = Number(values.rounds);
const options: BenchOptions = { rounds, ...(values.task === undefined ? {} : { tasks: values.task }) };
for (const [name, run] of Object.entries(areas)) {
  if (positionals.length > 0 && !positionals.includes(name)) continue;
  if (name === 'flash' && !hasEtcher)
    console.error('etcher-sdk is left out, as it is not installed: see testkit/etcher/README.md');
  if (name === 'flash' && !canLimitWrites)
    console.error('the slow disk is left out: it needs the blkio controller of cgroup v1');
  const bench = await run(options);
  console.log(values.json ? JSON.stringify({ area: name, rounds, ...bench }, null, 2) : renderTable(name, bench));
  if (bench.rows.some(({ way, ratio, goal = 1 }) => way.startsWith('ours') && ratio > goal)) process.exitCode = 1;
}

function renderTable(name: string, { sizeBytes, rows }: Bench): string {
  const mebibytes = sizeBytes / 1024 / 1024;
  const cells = rows.map(({ task, way, wallSeconds, cpuSeconds, peakRssMib, ratio, goal }) => [
    task.padEnd(18),
    way.padEnd(28),
    wallSeconds.toFixed(2),
    `${(mebibytes / wallSeconds).toFixed(0)}`,
    ratio.toFixed(2),
    goal === undefined ? '' : `${goal.toFixed(2)}${ratio > goal ? ' missed' : ''}`,
    cpuSeconds.toFixed(2),
    peakRssMib.toFixed(0),
  ]);
  const heads = ['task'.padEnd(18), 'way'.padEnd(28), 'wall s', 'MiB/s', 'ratio', 'goal', 'CPU s', 'peak MiB'];
  const title = `${name}: ${mebibytes} MiB, medians of ${rounds} interleaved rounds; ratio to the first of each task`;
  return [title, ...[heads, ...cells].map((line) => line.map((cell) => cell.padStart(12)).join(''))].join('\n');
}
