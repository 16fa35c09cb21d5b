import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type PoweredMachine, powerOn, writeCounts } from './emulator.ts';
import type { Machine, RunOptions, RunResult } from './machine.ts';
import { type JsonChannel, openJsonChannel } from './qmp.ts';
import { serialLog } from './serial-log.ts';

export interface PcDisk {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  readonly serial: string;
  /** What the machine has not flushed may be lost when it is killed, as on a disk with a cache of its own; else nothing is. */
  readonly losesUnflushed?: boolean;
  /** Every write is logged there, by QEMU's blklogwrites; a raw disk's only. */
  readonly writeLog?: string;
  /** Place on the PCI bus, 0x10 to 0x1e: Linux names disks in that order. In the order of the list where it is left out. */
  readonly pciSlot?: number;
}

export interface PcOptions {
  readonly firmware: 'bios' | 'uefi';
  readonly disks: readonly PcDisk[];
  readonly memoryMib: number;
  /** File with the UEFI variables; changed by the machine. Raw where it ends in ".fd", else qcow2. */
  readonly uefiVariables?: string;
  /** The firmware boots by those variables alone; else QEMU has it begin with the first disk. */
  readonly bootsByVariables?: boolean;
  /** The firmware has Secure Boot; whether it is on is a matter of the variables. */
  readonly hasSecureBoot?: boolean;
  /** Host directory that the guest sees read-only as the 9p tag "share". */
  readonly share?: string;
  /** Memory and devices of a running PC that `saveState` wrote: it goes on from there, on disks as they were then. */
  readonly state?: string;
  /** Whether the wired interface's cable leads to a router at 10.0.2.2, which is the host and gives addresses by DHCP; else nowhere. */
  readonly reachesHost?: boolean;
  /** A watchdog that resets the machine. */
  readonly hasWatchdog?: boolean;
  /** Number of its processors; 1 where it is left out: two machines side by side are up half as fast again then. */
  readonly processors?: number;
  /** It goes off instead of restarting. */
  readonly noReboot?: boolean;
}

export interface Pc extends Machine {
  /** Writes its memory and devices to a file; it stands still from then on. */
  saveState(path: string): Promise<void>;
  /** Interrupts its processors as failing hardware does; Linux panics where `unknown_nmi_panic` says so. */
  interrupt(): Promise<void>;
}

/** Of the wired interface that every PC has. */
export const networkMac = '02:00:00:00:00:01';
const ovmfCode = '/usr/share/OVMF/OVMF_CODE_4M.fd';
/** It wants its variables guarded by system management mode. */
const secureOvmfCode = '/usr/share/OVMF/OVMF_CODE_4M.secboot.fd';

/** Starts a PC under software emulation. qemu64 is the fastest processor there: newer features cost much. */
export async function startPc(options: PcOptions): Promise<Pc> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-pc-'));
  await mkdir(join(directory, 'no-share'));
  const errors: string[] = [];
  const serial = serialLog(() => errors.join(''));
  const start = ({ isRestart }: { isRestart: boolean }): Promise<PoweredMachine> => {
    const args = qemuArguments(options, directory, isRestart);
    return powerOn({ program: 'qemu-system-x86_64', args, directory, serial, errors });
  };
  let current = await start({ isRestart: false });
  let isKilled = false;
  const life = async (): Promise<void> => {
    while ((await current.ended) === 'restart' && !isKilled && options.noReboot !== true) {
      current = await start({ isRestart: true });
      if (isKilled) current.cutPower();
    }
  };
  const exited = life()
    .catch((thrown: unknown) => void errors.push(String(thrown)))
    .then(async () => {
      serial.end();
      await rm(directory, { recursive: true, force: true });
    });
  const agent = guestAgent(join(directory, 'agent'));
  const run = (command: string, args: readonly string[] = [], runOptions: RunOptions = {}) =>
    agent.run(command, args, runOptions);
  const machine: Pc = {
    log: serial.text,
    onSerial: serial.onText,
    waitFor: serial.waitFor,
    run,
    runShell: async (script, runOptions) => {
      const result = await run('/bin/sh', ['-c', script], runOptions);
      if (result.exitCode !== 0)
        throw new Error(`exit ${result.exitCode} of ${script}\n${result.stdout}\n${result.stderr}`);
      return result;
    },
    waitForAgent: agent.wait,
    writeFile: agent.writeFile,
    writeCounts: () => writeCounts(current.qmp),
    saveState: (path) => saveState(current.qmp, path),
    interrupt: async () => {
      await current.qmp.send('inject-nmi');
    },
    kill: async () => {
      isKilled = true;
      current.cutPower();
      await exited;
    },
    exited,
  };
  if (options.state === undefined) return machine;
  try {
    await goesOn(current.qmp);
    await machine.waitForAgent();
    // The guest's clock still shows when the state was saved.
    await run('/bin/date', ['-s', `@${Math.floor(Date.now() / 1000)}`]);
    return machine;
  } catch (thrown) {
    await machine.kill();
    throw thrown;
  }
}

function qemuArguments(options: PcOptions, directory: string, isRestart: boolean): string[] {
  const isUefi = options.firmware === 'uefi';
  const isSecure = options.hasSecureBoot === true;
  const machine = isUefi ? `q35,smm=${isSecure ? 'on' : 'auto'}` : 'pc';
  const first = options.bootsByVariables === true ? '' : ',bootindex=0';
  return [
    ...['-nodefaults', '-no-user-config', '-display', 'none'],
    ...['-machine', machine, '-accel', 'tcg,thread=multi', '-cpu', 'qemu64', '-smp', String(options.processors ?? 1)],
    ...['-m', String(options.memoryMib), '-serial', 'stdio'],
    // The same with and without a router, so that a state fits both.
    ...['-netdev', 'hubport,id=net0,hubid=0'],
    ...(options.reachesHost === true
      ? ['-netdev', 'user,id=router', '-netdev', 'hubport,id=net1,hubid=0,netdev=router']
      : []),
    ...['-device', `virtio-net-pci,netdev=net0,mac=${networkMac},romfile=`],
    ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial-pci'],
    ...['-chardev', `socket,id=agent,path=${directory}/agent,server=on,wait=off`],
    ...['-device', 'virtserialport,chardev=agent,name=org.qemu.guest_agent.0'],
    ...(isSecure ? ['-global', 'driver=cfi.pflash01,property=secure,value=on'] : []),
    ...(isUefi ? ['-drive', `if=pflash,format=raw,readonly=on,file=${isSecure ? secureOvmfCode : ovmfCode}`] : []),
    ...(isUefi ? ['-drive', `if=pflash,format=${variablesFormat(options)},file=${options.uefiVariables}`] : []),
    ...options.disks.flatMap((disk, index) => [
      ...driveArguments(disk, `drive${index}`, isRestart),
      ...[
        '-device',
        `virtio-blk-pci,drive=drive${index},id=disk${index},serial=${disk.serial}${index === 0 ? first : ''}${placeOf(disk)}`,
      ],
    ]),
    // Always there, so that a state fits machines with and without a share.
    ...[
      '-virtfs',
      `local,path=${options.share ?? `${directory}/no-share`},mount_tag=share,security_model=none,readonly=on`,
    ],
    ...(options.hasWatchdog === true ? ['-device', 'i6300esb', '-action', 'watchdog=reset'] : []),
    ...(options.state === undefined || isRestart ? [] : ['-incoming', `exec:cat '${options.state}'`]),
  ];
}

/** Waits until a machine with a saved state has taken it over. */
async function goesOn(qmp: JsonChannel): Promise<void> {
  while (!((await qmp.send('query-status')) as { readonly running: boolean }).running)
    await new Promise((resolve) => setTimeout(resolve, 100));
}

async function saveState(qmp: JsonChannel, path: string): Promise<void> {
  // It would take care of a network that there is none of.
  await qmp.send('migrate-set-parameters', { 'max-bandwidth': 2 ** 40 });
  await qmp.send('migrate', { uri: `exec:cat >'${path}'` });
  for (;;) {
    const answer = (await qmp.send('query-migrate')) as { readonly status?: string; readonly 'error-desc'?: string };
    if (answer.status === 'completed') return;
    if (answer.status === 'failed') throw new Error(`saving ${path}: ${answer['error-desc'] ?? 'no reason given'}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

function variablesFormat({ uefiVariables }: PcOptions): 'raw' | 'qcow2' {
  return uefiVariables?.endsWith('.fd') === true ? 'raw' : 'qcow2';
}

function driveArguments(
  { path, format, losesUnflushed, writeLog }: PcDisk,
  id: string,
  isRestart: boolean,
): readonly string[] {
  const cache = losesUnflushed === true ? 'writeback' : 'unsafe';
  if (writeLog === undefined) return ['-drive', `file=${path},format=${format},if=none,id=${id},cache=${cache}`];
  return [
    ...['-blockdev', `driver=file,node-name=${id}-file,filename=${path}`],
    ...['-blockdev', `driver=file,node-name=${id}-log,filename=${writeLog}`],
    ...[
      '-blockdev',
      `driver=blklogwrites,node-name=${id},file=${id}-file,log=${id}-log,${isRestart ? 'log-append=on' : 'log-sector-size=512'}`,
    ],
  ];
}

function placeOf({ pciSlot }: PcDisk): string {
  return pciSlot === undefined ? '' : `,addr=0x${pciSlot.toString(16)}`;
}

interface ExecStatus {
  readonly exited: boolean;
  readonly exitcode?: number;
  readonly signal?: number;
  readonly 'out-data'?: string;
  readonly 'err-data'?: string;
}

function guestAgent(path: string) {
  let channel: Promise<JsonChannel> | undefined;
  const send = async (command: string, args?: Record<string, unknown>, timeoutMs = 30_000): Promise<unknown> => {
    channel ??= openJsonChannel(path, { greets: false });
    return (await channel).send(command, args, { timeoutMs });
  };
  const reconnect = async (): Promise<void> => {
    (await channel)?.close();
    channel = undefined;
  };
  const decode = (data: string | undefined): string => Buffer.from(data ?? '', 'base64').toString();
  const run = async (
    command: string,
    args: readonly string[],
    { timeoutMs = 120_000 }: RunOptions,
  ): Promise<RunResult> => {
    const { pid } = (await send('guest-exec', { path: command, arg: args, 'capture-output': true })) as { pid: number };
    const endMs = Date.now() + timeoutMs;
    for (;;) {
      const status = (await send('guest-exec-status', { pid })) as ExecStatus;
      if (status.exited) {
        return {
          exitCode: status.exitcode ?? 128 + (status.signal ?? 0),
          stdout: decode(status['out-data']),
          stderr: decode(status['err-data']),
        };
      }
      if (Date.now() > endMs) throw new Error(`${command} ${args.join(' ')} took more than ${timeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
  };
  return {
    run,
    wait: async ({ timeoutMs = 240_000 }: { timeoutMs?: number } = {}): Promise<void> => {
      const endMs = Date.now() + timeoutMs;
      for (let id = 1; ; id += 1) {
        try {
          // An answer to one that was given up must not be taken for that of a later command.
          if ((await send('guest-sync', { id }, 2000)) === id) return;
          throw new Error('the answers of the guest agent are out of step');
        } catch (thrown) {
          if (Date.now() > endMs) throw thrown;
          await reconnect();
          await new Promise((resolve) => setTimeout(resolve, 500));
        }
      }
    },
    writeFile: async (target: string, contents: string | Uint8Array): Promise<void> => {
      const handle = await send('guest-file-open', { path: target, mode: 'w' });
      await send('guest-file-write', { handle, 'buf-b64': Buffer.from(contents).toString('base64') });
      await send('guest-file-close', { handle });
    },
  };
}
