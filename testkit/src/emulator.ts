// One run of QEMU, from power-on until the machine restarts or is off. A restart of an emulated machine is one of QEMU: after a
// warm one it keeps the translated code of the system before, and each write to a page that had some is slow; firmware and boot
// loader then take up to minutes longer.
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { type JsonChannel, openJsonChannel } from './qmp.ts';
import type { SerialLog } from './serial-log.ts';

export interface EmulatorOptions {
  readonly program: string;
  /** What the machine is made of, with its serial console on standard input and output. */
  readonly args: readonly string[];
  /** For sockets. */
  readonly directory: string;
  readonly serial: SerialLog;
  /** Takes what QEMU itself says. */
  readonly errors: string[];
}

export interface PoweredMachine {
  readonly qmp: JsonChannel;
  /** Types at the serial console. What comes while the machine goes off is lost, as on a real one. */
  type(text: string): void;
  /** Pulls the plug. */
  cutPower(): void;
  readonly ended: Promise<'restart' | 'off'>;
}

const running = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
});

/** Rejects where QEMU does not start. */
export async function powerOn({ program, args, directory, serial, errors }: EmulatorOptions): Promise<PoweredMachine> {
  const socket = join(directory, 'qmp');
  const child = spawn(program, [...args, '-no-reboot', '-qmp', `unix:${socket},server=on,wait=off`], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  running.add(child);
  child.on('error', (thrown) => errors.push(String(thrown)));
  child.stdin.on('error', () => {});
  child.stderr.on('data', (data: Buffer) => errors.push(data.toString()));
  child.stdout.on('data', (data: Buffer) => serial.append(data.toString('latin1')));
  let end: 'restart' | 'off' = 'off';
  const onEvent = (name: string, data: Readonly<Record<string, unknown>>): void => {
    if (name === 'SHUTDOWN' && data.reason === 'guest-reset') end = 'restart';
  };
  const closed = new Promise<void>((resolve) => {
    child.once('close', () => {
      running.delete(child);
      resolve();
    });
  });
  const diesEarly = closed.then(() => {
    throw new Error(`${program} ended: ${errors.join('')}`);
  });
  // Most machines go off when nobody waits for this any more.
  diesEarly.catch(() => {});
  try {
    const qmp = await Promise.race([openJsonChannel(socket, { greets: true, onEvent }), diesEarly]);
    return {
      qmp,
      type: (text) => {
        child.stdin.write(text);
      },
      cutPower: () => {
        child.kill('SIGKILL');
      },
      // The event may arrive after the process has gone.
      ended: Promise.all([closed, qmp.closed]).then(() => end),
    };
  } catch (thrown) {
    child.kill('SIGKILL');
    await closed;
    throw thrown;
  }
}

/** Write requests that the disks of a machine have taken, by device id. */
export async function writeCounts(qmp: JsonChannel): Promise<Readonly<Record<string, number>>> {
  const stats = (await qmp.send('query-blockstats')) as { qdev?: string; stats: { wr_operations: number } }[];
  return Object.fromEntries(stats.map((entry) => [entry.qdev ?? '', entry.stats.wr_operations]));
}
