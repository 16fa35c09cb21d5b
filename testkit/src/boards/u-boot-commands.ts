// The commands of U-Boot that environments of Beagle boards use, and what they see: variables, memory, cards and eMMC.
import { crc32 } from '@migrate/core';
import { runHush } from './hush.ts';

/** Contents by path from the root of the partition, "/uEnv.txt". */
export type PartitionFiles = ReadonlyMap<string, Uint8Array>;

export interface Medium {
  readonly partitions: ReadonlyMap<number, PartitionFiles>;
  /** Sectors before partition 1. */
  readonly gap: Uint8Array;
}

export interface BeagleState {
  /** Cards and eMMC by U-Boot's number: 0 is the card. */
  readonly media: ReadonlyMap<number, Medium>;
}

export type UbootOutcome =
  | {
      readonly kind: 'starts';
      readonly kernel: string;
      readonly deviceTree: string;
      readonly initramfs?: string;
      readonly commandLine: string;
    }
  /** The board waits for somebody to come. */
  | { readonly kind: 'stuck'; readonly why: string };

/** A board between reset and kernel. */
export interface Board {
  readonly variables: Map<string, string>;
  /** What was loaded, by its address. */
  readonly memory: Map<number, Loaded>;
  readonly media: Map<number, { readonly partitions: Map<number, Map<string, Uint8Array>>; gap: Uint8Array }>;
  /** The medium that `mmc dev` chose. */
  current: number;
}

interface Loaded {
  readonly bytes: Uint8Array;
  readonly source: string;
}

/** Thrown where a command does not return. */
export class Started extends Error {
  readonly outcome: UbootOutcome;

  constructor(outcome: UbootOutcome) {
    super(outcome.kind);
    this.outcome = outcome;
  }
}

/** CONFIG_SYS_MAXARGS of the older ones. */
const argumentLimit = 16;
const sectorBytes = 512;

export function createBoard({ media }: BeagleState): Board {
  return {
    variables: new Map(),
    memory: new Map(),
    media: new Map(
      [...media].map(([number, { partitions, gap }]) => [
        number,
        { gap, partitions: new Map([...partitions].map(([index, files]) => [index, new Map(files)])) },
      ]),
    ),
    current: 0,
  };
}

/** `run`: 1 where the variable is not set. */
export function runVariable(board: Board, name: string): number {
  const script = board.variables.get(name);
  return script === undefined ? 1 : runScript(board, script);
}

function runScript(board: Board, script: string): number {
  return runHush(script, {
    variable: (each) => board.variables.get(each),
    setVariable: (each, value) => board.variables.set(each, value),
    command: (words) => runCommand(board, words),
  });
}

/** himport_r of lib/hashtable.c. */
export function importText({ variables }: Board, text: string): void {
  for (let at = 0; at < text.length && text[at] !== '\0'; ) {
    while (text[at] === ' ' || text[at] === '\t') at += 1;
    if (text[at] === '#') {
      while (at < text.length && text[at] !== '\n' && text[at] !== '\0') at += 1;
      at += 1;
      continue;
    }
    let name = '';
    for (; at < text.length && !['=', '\n', '\0'].includes(text[at] ?? ''); at += 1) name += text[at];
    let value = '';
    if (text[at] === '=') at += 1;
    for (; at < text.length && text[at] !== '\n' && text[at] !== '\0'; at += 1) {
      if (text[at] === '\\' && at + 1 < text.length) at += 1;
      value += text[at];
    }
    at += 1;
    if (value === '') variables.delete(name);
    else if (name === '') return;
    else variables.set(name, value);
  }
}

type Command = (board: Board, args: readonly string[]) => number;

const commands: Readonly<Record<string, Command>> = {
  echo: () => 0,
  setenv: setVariable,
  run: (board, names) => (names.some((name) => runVariable(board, name) !== 0) ? 1 : 0),
  test: (board, args) => (holds(board, args) ? 0 : 1),
  load,
  fatload: load,
  fatwrite,
  env: (board, args) => (args[0] === 'exists' ? Number(!board.variables.has(args[1] ?? '')) : importAt(board, args)),
  part: listBootable,
  mmc,
  'itest.l': (board, [value = '', , other]) => (wordAt(board, value) === Number(other) ? 0 : 1),
  'mw.l': writeWord,
  bootz: (board, args) => ends(startOf(board, args)),
  sysboot,
  source,
  ums: () => ends({ kind: 'stuck', why: 'waits as a USB disk' }),
};

function ends(outcome: UbootOutcome): never {
  throw new Started(outcome);
}

/** Unknown commands, and words beyond the limit, are failures that nothing stops at. */
function runCommand(board: Board, [name, ...args]: readonly string[]): number {
  if (name === undefined) return 0;
  if (args.length >= argumentLimit && name !== 'echo') return 1;
  return commands[name]?.(board, args) ?? 1;
}

function setVariable({ variables }: Board, [name = '', ...values]: readonly string[]): number {
  if (values.length === 0) variables.delete(name);
  else variables.set(name, values.join(' '));
  return 0;
}

function holds(board: Board, [operator, ...rest]: readonly string[]): boolean {
  if (rest.length === 0) return false;
  if (operator === '-n') return rest[0] !== '';
  if (operator === '-z') return rest[0] === '';
  if (operator !== '-e') throw new Error(`test ${operator} is not modelled`);
  const [, part = '', path = ''] = rest;
  return filesOn(board, part)?.has(path) ?? false;
}

/** Files of "1:2", or of partition 1 where none is named. */
function filesOn({ media }: Board, part: string): Map<string, Uint8Array> | undefined {
  const [device = '', partition = '1'] = part.split(':');
  return media.get(Number(device))?.partitions.get(Number(partition));
}

function load(board: Board, [type, part = '', address = '', path = '']: readonly string[]): number {
  const key = path.startsWith('/') ? path : `/${path}`;
  const bytes = type === 'mmc' ? filesOn(board, part)?.get(key) : undefined;
  if (bytes === undefined) return 1;
  put(board, Number(address), { bytes, source: `${part.split(':')[1] ?? '1'}:${key}` });
  board.variables.set('filesize', bytes.length.toString(16));
  return 0;
}

/** What is not overwritten stays in memory. */
function put({ memory }: Board, address: number, { bytes, source }: Loaded): void {
  const under = memory.get(address)?.bytes ?? new Uint8Array(sectorBytes);
  const merged = new Uint8Array(Math.max(bytes.length, under.length));
  merged.set(under);
  merged.set(bytes);
  memory.set(address, { bytes: merged, source });
}

function fatwrite(board: Board, [, part = '', address = '', name = '', size = '']: readonly string[]): number {
  const files = filesOn(board, part);
  const source = board.memory.get(Number(address));
  if (files === undefined || source === undefined) return 1;
  files.set(`/${name}`, source.bytes.slice(0, Number.parseInt(size, 16)));
  return 0;
}

function importAt(board: Board, [verb, flag, address = '', size = '']: readonly string[]): number {
  const loaded = board.memory.get(Number(address));
  if (verb !== 'import' || flag !== '-t' || loaded === undefined) return 1;
  importText(board, Buffer.from(loaded.bytes.subarray(0, Number.parseInt(size, 16))).toString('latin1'));
  return 0;
}

/** Of a partition table of MBR, which is all that these boards have. */
function listBootable({ media, variables }: Board, [verb, , device, , name = '']: readonly string[]): number {
  const gap = media.get(Number(device))?.gap;
  if (verb !== 'list' || gap === undefined) return 1;
  const marked = [1, 2, 3, 4].filter((number) => gap[446 + 16 * (number - 1)] === 0x80);
  if (marked.length > 0) variables.set(name, marked.join(' '));
  return 0;
}

/** The first entry, or the one that default names (boot/pxe_utils.c). */
function sysboot(board: Board, [, part = '', , , path = '']: readonly string[]): number {
  const files = filesOn(board, part);
  const [head = '', ...entries] = Buffer.from(files?.get(path) ?? [])
    .toString('latin1')
    .split(/^label /m);
  const wanted = /^default (.*)$/m.exec(head)?.[1];
  const entry = entries.find((each) => each.split('\n')[0] === wanted) ?? entries[0] ?? '';
  const value = (key: string): string => new RegExp(`^\\s+${key} (.*)$`, 'm').exec(entry)?.[1] ?? '';
  const [kernel, initramfs] = [value('linux'), value('initrd')];
  const deviceTree = `${value('fdtdir')}${board.variables.get('fdtfile')}`;
  const [, number] = part.split(':');
  if ([kernel, initramfs, deviceTree].some((name) => files?.has(name) !== true)) return 1;
  const name = (each: string): string => `${number}:${each}`;
  return ends({
    kind: 'starts',
    kernel: name(kernel),
    deviceTree: name(deviceTree),
    initramfs: name(initramfs),
    commandLine: value('append'),
  });
}

/** A legacy image of type script (cmd/source.c). */
function source(board: Board, [address = '']: readonly string[]): number {
  const image = Buffer.from(board.memory.get(Number(address))?.bytes ?? []);
  if (image.length < 72 || image.readUInt32BE(0) !== 0x27051956 || image[30] !== 6) return 1;
  const data = image.subarray(64, 64 + image.readUInt32BE(12));
  const header = Buffer.from(image.subarray(0, 64));
  header.writeUInt32BE(0, 4);
  if (crc32(header) !== image.readUInt32BE(4) || crc32(data) !== image.readUInt32BE(24)) return 1;
  return runScript(board, data.toString('latin1', 8, 8 + data.readUInt32BE(0)));
}

function mmc(board: Board, [verb, ...args]: readonly string[]): number {
  if (verb === 'dev') {
    if (!board.media.has(Number(args[0]))) return 1;
    board.current = Number(args[0]);
    return 0;
  }
  const medium = board.media.get(board.current);
  if (medium === undefined) return 1;
  if (verb === 'rescan') return 0;
  const [address, sector, count] = args.map(Number);
  if (address === undefined || sector === undefined || count !== 1) throw new Error(`mmc ${verb} is not modelled`);
  const start = sector * sectorBytes;
  if (start + sectorBytes > medium.gap.length) throw new Error(`sector ${sector} belongs to a partition`);
  if (verb === 'read') {
    put(board, address, { bytes: medium.gap.subarray(start, start + sectorBytes), source: `sector ${sector}` });
    return 0;
  }
  const loaded = board.memory.get(address);
  if (verb !== 'write' || loaded === undefined) return 1;
  medium.gap = new Uint8Array(medium.gap);
  medium.gap.set(loaded.bytes.subarray(0, sectorBytes), start);
  return 0;
}

/** A number, or the little-endian word at "*ADDRESS". */
function wordAt({ memory }: Board, text: string): number {
  const loaded = memory.get(Number(text.slice(1)));
  return text.startsWith('*') && loaded !== undefined ? Buffer.from(loaded.bytes).readUInt32LE(0) : Number(text);
}

function writeWord(board: Board, [address = '', value = '']: readonly string[]): number {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(Number(value), 0);
  put(board, Number(address), { bytes, source: 'memory' });
  return 0;
}

function startOf({ memory, variables }: Board, words: readonly string[]): UbootOutcome {
  const [kernel = '', initramfs = '', deviceTree = ''] = words;
  const [at = '', size = ''] = initramfs.split(':');
  const found = (address: string): string => memory.get(Number(address))?.source ?? 'nothing';
  return {
    kind: 'starts',
    kernel: found(kernel),
    deviceTree: `${found(deviceTree)}${variables.has('overlaid') ? ' with overlays' : ''}`,
    ...(initramfs === '-' ? {} : { initramfs: `${found(at)} (${Number.parseInt(size, 16)} bytes)` }),
    commandLine: variables.get('bootargs') ?? '',
  };
}
