// A Raspberry Pi: the model of its firmware decides what is started from the card, QEMU runs it, and when it restarts the
// firmware decides again. Modelled, not run: the firmware itself, overlays, the mailbox (see pi-old-systems.ts), and drivers
// that are built into the vendor's kernels but modules in Debian's.
import { randomBytes } from 'node:crypto';
import { statSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { type EmulatorOptions, type PoweredMachine, powerOn } from '../emulator.ts';
import type { Machine } from '../machine.ts';
import { serialLog } from '../serial-log.ts';
import { serialShell } from '../serial-shell.ts';
import { readBootPartition } from './pi-boot-partition.ts';
import type { PiCard } from './pi-card.ts';
import { type BootFiles, type FirmwareStart, type PiBoard, startPi } from './pi-firmware.ts';

export interface EmulatedPi extends Machine {
  /** What the firmware decided at each start. */
  readonly starts: readonly FirmwareStart[];
  /** Whether the next start would be by tryboot. A power cut clears it. */
  isTrybootSet(): boolean;
  /** Pulls the plug and puts it back. */
  cutPower(): void;
}

type Started = FirmwareStart & { readonly kind: 'starts' };

/** A board is several times slower than a PC, and more so on a loaded machine. */
const waitMs = 800_000;

/** Powers a Pi on. `trybootFlag` is what the firmware has kept of a restart before. */
export async function startEmulatedPi(inserted: PiCard, trybootFlag = false): Promise<EmulatedPi> {
  const { card, board, builtIn } = inserted;
  const directory = await mkdtemp(join(tmpdir(), 'migrate-pi-'));
  const errors: string[] = [];
  const serial = serialLog(() => errors.join(''));
  const starts: FirmwareStart[] = [];
  let flag = trybootFlag;
  let powered: PoweredMachine | undefined;
  let isCutShort = false;
  let unplug: () => void = () => {};
  const unplugged = new Promise<'off'>((resolve) => {
    unplug = () => resolve('off');
  });
  const shell = serialShell({ log: serial, send: (text) => powered?.type(text) });

  const runQemu = async (start: Started, files: BootFiles): Promise<'restart' | 'off'> => {
    await writeBoot(directory, { start, files, board, tryboot: start.configFile === 'tryboot.txt', builtIn });
    const from = serial.text().length;
    powered = await powerOn({ ...qemuCommand({ start, inserted, directory }), directory, serial, errors });
    void unplugged.then(powered.cutPower);
    const end = await powered.ended;
    if (isCutShort) {
      isCutShort = false;
      flag = false;
      return 'restart';
    }
    flag = /.*PI-MAILBOX reboot-flags (\d+)/s.exec(serial.text().slice(from))?.[1] === '1';
    return end;
  };

  const life = async (): Promise<void> => {
    for (let end: 'restart' | 'off' = 'restart'; end === 'restart'; ) {
      shell.restarted();
      const files = await readBootPartition(card, directory);
      const start: FirmwareStart =
        files === undefined
          ? { kind: 'hangs', why: 'there is no FAT partition that can be read' }
          : startPi(board, files, flag);
      flag = false;
      starts.push(start);
      serial.append(`\nPI-FIRMWARE ${describe(start)}\n`);
      end = files === undefined || start.kind === 'hangs' ? await unplugged : await runQemu(start, files);
    }
    flag = false;
  };
  const exited = life()
    .catch((thrown: unknown) => void errors.push(String(thrown)))
    .then(async () => {
      serial.end();
      await rm(directory, { recursive: true, force: true });
    });

  const { run, runShell, writeFile: write, waitForAgent } = shell;
  return {
    log: serial.text,
    onSerial: serial.onText,
    waitFor: (pattern, options) => serial.waitFor(pattern, { timeoutMs: waitMs, ...options }),
    run,
    runShell,
    writeFile: write,
    waitForAgent: (options) => waitForAgent({ timeoutMs: waitMs, ...options }),
    writeCounts: async () => {
      const stats = (await powered?.qmp.send('query-blockstats')) as {
        device: string;
        stats: { wr_operations: number };
      }[];
      return Object.fromEntries(stats.map((entry) => [entry.device, entry.stats.wr_operations]));
    },
    kill: async () => {
      unplug();
      await exited;
    },
    exited,
    starts,
    isTrybootSet: () => flag,
    cutPower: () => {
      isCutShort = true;
      powered?.cutPower();
    },
  };
}

function describe(start: FirmwareStart): string {
  if (start.kind === 'hangs') return `hangs: ${start.why}`;
  const { configFile, kernel, deviceTree, initramfs } = start;
  return `starts ${kernel} by ${configFile}, device tree ${deviceTree ?? 'none'}, initramfs ${initramfs.join() || 'none'}`;
}

interface Boot {
  readonly start: Started;
  readonly files: BootFiles;
  readonly board: PiBoard;
  readonly tryboot: boolean;
  readonly builtIn: string | undefined;
}

/** What the firmware would put into memory. */
async function writeBoot(directory: string, { start, files, board, tryboot, builtIn }: Boot): Promise<void> {
  const contents = (name: string): Uint8Array => files.get(name) ?? new Uint8Array();
  await writeFile(join(directory, 'kernel'), contents(start.kernel));
  const archives = start.initramfs.map(contents);
  // The kernel unpacks archives one after the other; later files replace earlier ones.
  if (builtIn !== undefined) archives.unshift(await readFile(builtIn));
  await writeFile(join(directory, 'initramfs'), Buffer.concat(archives));
  if (start.deviceTree === undefined) return;
  const tree = join(directory, 'device-tree');
  await writeFile(tree, contents(start.deviceTree));
  const put = (type: 'x' | 's', node: string, property: string, value: string) =>
    execa('fdtput', ['-p', '-t', type, tree, node, property, ...(type === 'x' ? value.split(' ') : [value])]);
  // What the firmware says of itself (raspberrypi/documentation, configuration/device-tree.adoc).
  await put('s', '/', 'serial-number', board.serial.toString(16).padStart(16, '0'));
  // As firmware does since 2021 (raspberrypi/firmware#1595). Without it Node waits 20 s for the kernel's first random bytes.
  await put(
    'x',
    '/chosen',
    'rng-seed',
    randomBytes(32)
      .toString('hex')
      .replace(/.{8}(?=.)/g, '$& '),
  );
  if (!board.knowsTryboot) return;
  await put('x', '/chosen/bootloader', 'partition', '1');
  await put('x', '/chosen/bootloader', 'tryboot', tryboot ? '1' : '0');
}

/** Boards by how QEMU names them: the program, and the serial port that the firmware calls serial0, with its Linux name. */
const emulators = {
  raspi3b: { program: 'qemu-system-aarch64', serial: ['-serial', 'null', '-serial', 'stdio'], serial0: 'ttyS1' },
  raspi2b: { program: 'qemu-system-arm', serial: ['-serial', 'stdio'], serial0: 'ttyAMA0' },
} as const;

function qemuCommand({
  start,
  inserted: { card, board, writeLog },
  directory,
}: {
  start: Started;
  inserted: PiCard;
  directory: string;
}): Pick<EmulatorOptions, 'program' | 'args'> {
  const { emulatedBy, name } = board.model;
  if (emulatedBy === 'nothing') throw new Error(`there is no emulator for ${name}`);
  const { program, serial, serial0 } = emulators[emulatedBy];
  const commandLine = start.commandLine.replaceAll('console=serial0', `console=${serial0}`);
  return {
    program,
    args: [
      ...['-machine', emulatedBy, '-display', 'none', '-monitor', 'none', ...serial],
      ...['-kernel', join(directory, 'kernel'), '-initrd', join(directory, 'initramfs'), '-append', commandLine],
      ...(start.deviceTree === undefined ? [] : ['-dtb', join(directory, 'device-tree')]),
      ...['-drive', `if=sd,cache=unsafe,${driverArguments(card, writeLog)}`],
    ],
  };
}

/** The log counts each write at once: a card is sent no flush at which it would, and the next start goes on from what is counted. */
function driverArguments(card: string, writeLog: string | undefined): string {
  if (writeLog === undefined) return `file=${card},format=raw`;
  const begins = statSync(writeLog).size === 0 ? 'log-sector-size=512' : 'log-append=on';
  const files = `file.driver=file,file.filename=${card},log.driver=file,log.filename=${writeLog}`;
  return `driver=blklogwrites,${files},${begins},log-super-update-interval=1`;
}
