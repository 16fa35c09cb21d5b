// What the firmware of a Raspberry Pi would start from a boot partition, or why it would hang. Written from the documentation
// (raspberrypi/documentation, config_txt) and on purpose without the parser of device-rpi, so that the two check each other.
import type { PiModel } from '@migrate/device-rpi';

/** Files of the boot partition by name from its root. */
export type BootFiles = ReadonlyMap<string, Uint8Array>;

export interface PiBoard {
  readonly model: PiModel;
  /** Age of the firmware: what it knows, how much of a line it reads, what it takes where arm_64bit is not given. */
  readonly knowsTryboot: boolean;
  readonly lineLimitBytes: number;
  readonly starts64BitByDefault: boolean;
  readonly serial: number;
  /** Filters that hold at the moment besides the model's own: "gpio4=1", "EDID=VSC-TD2220". */
  readonly holding: readonly string[];
}

export type FirmwareStart =
  | {
      readonly kind: 'starts';
      readonly configFile: string;
      readonly kernel: string;
      readonly is64Bit: boolean;
      readonly deviceTree: string | undefined;
      /** Names of the archives that were found, in order. */
      readonly initramfs: readonly string[];
      /** Named by config.txt, but not there: the kernel starts without. */
      readonly missingInitramfs: readonly string[];
      readonly commandLine: string;
      readonly overlays: readonly string[];
      /** All other settings. */
      readonly settings: Readonly<Record<string, string>>;
    }
  | { readonly kind: 'hangs'; readonly why: string };

interface State {
  readonly values: Map<string, string>;
  readonly overlays: string[];
  initramfs: string | undefined;
}

/** One start. The flag is spent by it: the next one is without, whatever becomes of this one. */
export function startPi(board: PiBoard, files: BootFiles, trybootFlag: boolean): FirmwareStart {
  const tryboot = trybootFlag && board.knowsTryboot;
  const configFile = tryboot ? 'tryboot.txt' : 'config.txt';
  // Without config.txt there are defaults; without tryboot.txt nobody knows.
  if (tryboot && !files.has(configFile)) return { kind: 'hangs', why: 'there is no tryboot.txt' };
  const state: State = { values: new Map(), overlays: [], initramfs: undefined };
  readConfig({ board, files, tryboot, state }, configFile, new Map(), 0);
  return chooseFiles({ board, files, configFile, state });
}

interface Reading {
  readonly board: PiBoard;
  readonly files: BootFiles;
  readonly tryboot: boolean;
  readonly state: State;
}

function readConfig(reading: Reading, name: string, off: Map<string, boolean>, depth: number): void {
  const text = Buffer.from(reading.files.get(name) ?? []).toString('latin1');
  for (const whole of text.split('\n')) {
    const line = whole.slice(0, reading.board.lineLimitBytes).trim();
    if (line.startsWith('[') && line.includes(']')) {
      setFilter(reading, off, line.slice(1, line.indexOf(']')));
    } else if (!line.startsWith('#') && line !== '' && ![...off.values()].some((isOff) => isOff)) {
      const [word = '', ...rest] = line.split(/\s+/);
      if (word === 'include' && depth < 5) readConfig(reading, rest[0] ?? '', off, depth + 1);
      else if (word === 'initramfs') reading.state.initramfs = rest[0];
      else setValue(reading.state, line);
    }
  }
}

function setValue(state: State, line: string): void {
  const equals = line.indexOf('=');
  if (equals < 1) return;
  const [name, value] = [line.slice(0, equals), line.slice(equals + 1)];
  if (name === 'dtoverlay' || name === 'dtparam') state.overlays.push(line);
  else state.values.set(name, value);
}

/** Those whose effect is told otherwise. */
const bootSettings = new Set([
  'kernel',
  'arm_64bit',
  'cmdline',
  'auto_initramfs',
  'ramfsfile',
  'device_tree',
  'os_prefix',
]);

/** Keeps for each kind of filter whether it turns lines off. */
function setFilter({ board, tryboot }: Reading, off: Map<string, boolean>, filter: string): void {
  if (filter === 'all') {
    off.clear();
  } else if (/^(pi|cm)\d/.test(filter)) {
    off.set('model', !board.model.filters.includes(filter));
  } else if (filter.startsWith('0x')) {
    off.set('serial', Number.parseInt(filter, 16) !== board.serial);
  } else if (filter === 'tryboot') {
    off.set('tryboot', !tryboot);
  } else {
    off.set(filter.split(/[=:\d]/)[0] ?? filter, !board.holding.includes(filter));
  }
}

function chooseFiles({
  board,
  files,
  configFile,
  state,
}: Omit<Reading, 'tryboot'> & { configFile: string }): FirmwareStart {
  const { values } = state;
  const is64Bit = wordSize(board, values);
  const kernels = values.has('kernel')
    ? [values.get('kernel') ?? '']
    : board.model.kernels[is64Bit ? 'aarch64' : 'arm'];
  const trees = values.has('device_tree') ? [values.get('device_tree') ?? ''] : board.model.deviceTrees;
  const wanted = values.get('os_prefix') ?? '';
  const isViable = [kernels, trees].every((names) => names.some((name) => files.has(wanted + name)));
  const at = (name: string): string => (isViable ? wanted : '') + name;
  const kernel = kernels.map(at).find((name) => files.has(name));
  if (kernel === undefined) return { kind: 'hangs', why: `no kernel (${kernels.map(at).join(', ')}): seven flashes` };
  const format = kernelFormat(files.get(kernel) ?? new Uint8Array());
  if (format === 'unknown') return { kind: 'hangs', why: `${kernel} is no kernel` };
  if ((format === 'arm') === is64Bit) {
    return { kind: 'hangs', why: `${kernel} is for ${format}, but is entered in ${is64Bit ? 64 : 32}-bit state` };
  }
  const named = initramfsNames(state, kernel).map(at);
  const commandLine = Buffer.from(files.get(at(values.get('cmdline') ?? 'cmdline.txt')) ?? []).toString('latin1');
  return {
    kind: 'starts',
    configFile,
    kernel,
    is64Bit,
    deviceTree: trees.map(at).find((name) => files.has(name)),
    initramfs: named.filter((name) => files.has(name)),
    missingInitramfs: named.filter((name) => !files.has(name)),
    commandLine: (commandLine.split(/\r?\n/)[0] ?? '').trim(),
    overlays: state.overlays,
    settings: Object.fromEntries([...values].filter(([name]) => !bootSettings.has(name))),
  };
}

function wordSize(board: PiBoard, values: ReadonlyMap<string, string>): boolean {
  const flag = values.get('arm_64bit');
  if (flag !== undefined) return flag !== '0';
  if (board.model.kernels.arm.length === 0) return true;
  const kernel = values.get('kernel')?.split('/').at(-1);
  if (kernel === 'kernel8.img' || kernel === 'kernel_2712.img') return true;
  if (kernel !== undefined && /^kernel7?l?\.img$/.test(kernel)) return false;
  return board.starts64BitByDefault;
}

function initramfsNames(state: State, kernel: string): readonly string[] {
  if (state.initramfs !== undefined) return state.initramfs.split(',');
  if (state.values.has('ramfsfile')) return (state.values.get('ramfsfile') ?? '').split(',');
  if (state.values.get('auto_initramfs') !== '1') return [];
  return [(kernel.split('/').at(-1) ?? '').replace(/^kernel/, 'initramfs').replace(/\.img$/, '')];
}

/** By magic: Documentation/arch/arm64/booting.rst, arch/arm/boot/compressed/head.S. */
function kernelFormat(bytes: Uint8Array): 'arm' | 'arm64' | 'gzip' | 'unknown' {
  const view = Buffer.from(bytes);
  if (view.length >= 0x3c && view.toString('latin1', 0x38, 0x3c) === 'ARMd') return 'arm64';
  if (view.length >= 0x28 && view.readUInt32LE(0x24) === 0x016f2818) return 'arm';
  return view.length > 2 && view.readUInt16BE(0) === 0x1f8b ? 'gzip' : 'unknown';
}
