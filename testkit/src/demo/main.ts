// bin/demo: a whole migration in an emulated machine, live.
import { stripVTControlCharacters } from 'node:util';
import type { Shape } from '../debian-disk.ts';
import { configYaml, failure, newSystem, type Road, startRoad, startUnseen } from '../road/road.ts';

const shape: Shape = process.argv.includes('--uefi')
  ? 'uefi'
  : process.argv.includes('--gpt')
    ? 'bios-gpt'
    : 'bios-mbr';
const startedMs = Date.now();
const phases: { readonly name: string; readonly startedMs: number }[] = [];

function say(text: string): void {
  process.stdout.write(`\x1b[1m[${seconds(Date.now() - startedMs)}] ${text}\x1b[0m\n`);
}

function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1).padStart(6)} s`;
}

function phase(name: string): void {
  phases.push({ name, startedMs: Date.now() });
  say(name);
}

async function demo(road: Road): Promise<void> {
  const { machine } = road;
  machine.onSerial((text) => process.stdout.write(stripVTControlCharacters(text)));
  phase('stage 1: what would be done (migrate, mode pretend)');
  const pretend = await road.migrate();
  process.stdout.write(pretend.stdout + pretend.stderr);
  if (pretend.exitCode !== 0) throw new Error('pretend refused');
  phase('stage 1: migrate --mode immediate --yes');
  await machine.writeFile(`${road.workDirectory}/balena-migrate.yml`, configYaml({ extra: ['reboot: 1'] }));
  await startUnseen(road, `./${road.bundle}/migrate --mode immediate --yes`);
  await machine.waitFor(/prepared and reboots/, { unless: failure });
  phase('reboot: firmware, GRUB one-shot, kernel');
  await machine.waitFor(/migrate: stage 2 init/, { unless: failure });
  phase('stage 2: payload to RAM, image proven');
  await machine.waitFor(/point of no return/, { unless: failure });
  phase('stage 2: flash, verify, configure, commit');
  await machine.waitFor(/migration complete/, { unless: failure });
  phase('the new system starts');
  const found = await newSystem(machine);
  await machine.exited;
  const endMs = Date.now();
  const peak = /peak memory of stage 2: (\d+) KiB/.exec(machine.log())?.[1];
  process.stdout.write(`\nSummary\n`);
  phases.forEach(({ name, startedMs: from }, index) => {
    process.stdout.write(`  ${seconds((phases[index + 1]?.startedMs ?? endMs) - from)}  ${name}\n`);
  });
  const checks = [
    [`the new system booted (${found.deviceType}, ${found.firmware})`, found.deviceType !== ''],
    ['its root file system is intact to the byte', found.isRootIntact],
    ['it has config.json', found.configJson.includes('apiEndpoint')],
    ['it has the network connection', 'ethernet-static' in found.connections],
    [`it has the log of the migration (${found.log.length} bytes)`, found.log.includes('point of no return')],
  ] as const;
  for (const [text, isTrue] of checks) process.stdout.write(`  ${isTrue ? 'ok    ' : 'FAILED'}  ${text}\n`);
  process.stdout.write(
    `  image ${road.image.fileBytes} bytes, inflated ${road.image.sizeBytes}; peak memory of stage 2 ${peak} KiB\n`,
  );
  process.stdout.write(`  whole demo ${seconds(endMs - startedMs)}\n`);
  if (checks.some(([, isTrue]) => !isTrue)) process.exitCode = 1;
}

const road = await startRoad({ shape, payloadMib: 40, onPhase: phase });
try {
  await demo(road);
} finally {
  await road.close();
}
