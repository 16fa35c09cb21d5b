// How stage 2 can be started on this machine: everything is decided here, from facts, and the rest only carries it out.
import { error, type Facts, type Finding, type SectorChange, withSectorChange } from '@migrate/core';
import {
  type BootPartition,
  bootFile,
  configReader,
  listed,
  mailboxDevice,
  serialOf,
  trybootProperty,
  vcmailboxPaths,
} from './boot-partition.ts';
import {
  bootLines,
  longestLine,
  ofWholeText,
  type Request,
  sectorChanges,
  startsStage2,
  usesRamfs,
  wholeText,
} from './boot-request.ts';
import { argumentValue, parseCommandLine } from './cmdline-txt.ts';
import { checkClarity, unreadable } from './config-clarity.ts';
import { type ConfigTxt, parseConfigTxt, safeLineBytes } from './config-txt.ts';
import { type Evaluation, evaluateConfig, type FirmwareState } from './evaluate-config.ts';
import type { PiModel } from './models.ts';
import { type BootSelection, selectBootFiles } from './select-boot-files.ts';

export type BootWay =
  /** The firmware reads tryboot.txt once, and clears the flag before it does. */
  | { readonly kind: 'tryboot'; readonly text: string; readonly command: string }
  /** One sector of config.txt is changed, and changed back by stage 2 before anything else. */
  | { readonly kind: 'switch'; readonly change: SectorChange };

export interface BootDecision {
  readonly partition: BootPartition;
  readonly selection: BootSelection;
  /** Words of the command line that the old system starts with. */
  readonly words: readonly string[];
  readonly way: BootWay;
  /** For a lifeboat, or why there can be none. */
  readonly lifeboat: LifeboatConfig | string;
}

export interface LifeboatConfig {
  /** Its config.txt. */
  readonly text: string;
  /** Other files that the firmware reads by it: included ones, and those that settings name. */
  readonly files: readonly string[];
}

export const directoryName = 'balena-migrate';
export const initramfsName = 'stage2.img';
export const commandLineName = 'cmdline.txt';

/** Settings that the change of config.txt decides. */
const ofSwitch = new Set(['cmdline']);
/** Each more doubles the cases to look at. */
const unknownFilterLimit = 6;

/** The way to boot once, or what stands against each. */
export function decideBoot(facts: Facts, model: PiModel, partition: BootPartition): BootDecision | readonly Finding[] {
  const path = `${partition.directory}/config.txt`;
  const architecture = facts.kernel.architecture;
  if (architecture !== 'arm' && architecture !== 'aarch64') {
    return [error('rpi-kernel', path, `the running kernel is for ${architecture}`, 'Start a kernel for ARM')];
  }
  const wasRead = new Set<string>();
  const reader = configReader(facts, partition.directory);
  const read = (name: string): ConfigTxt | undefined => {
    wasRead.add(name);
    return reader(name);
  };
  const config = read('config.txt');
  if (config === undefined) return [unreadable(path)];
  const file = bootFile(facts, path);
  if (file === undefined || file.text.includes('\uFFFD') || Buffer.byteLength(file.text) !== file.sizeBytes) {
    return [error('rpi-config-bytes', path, 'it holds bytes that are not UTF-8 text', 'Remove them and try again')];
  }
  const evaluate = evaluator(facts, { model, read });
  if (evaluate === undefined) {
    const message = `it has more than ${unknownFilterLimit} filters that cannot be known beforehand (pins, screens)`;
    return [error('rpi-config-unclear', path, message, 'Remove those that are not needed')];
  }
  const evaluation = evaluate(config, 'config.txt', false);
  const selections = evaluation.map((each) =>
    selectBootFiles(each, {
      model,
      architecture,
      exists: (name) => listed(facts, `${partition.directory}/${name}`)?.kind === 'file',
    }),
  );
  const [selection] = selections;
  const unclear = checkClarity(path, { evaluation, selections });
  if (unclear.length > 0 || selection === undefined || typeof selection === 'string') return unclear;
  const commandLine = bootFile(facts, `${partition.directory}/${selection.commandLineFile}`);
  const words = parseCommandLine(commandLine?.text ?? '');
  const request = requestFor(selection, architecture === 'aarch64');
  const given = { facts, partition, config, request, words, evaluate, evaluation };
  const way = bootFile(facts, trybootProperty) === undefined ? switchWay(given) : trybootWay(given);
  if (!('kind' in way)) return way;
  const included = [...wasRead].filter((name) => name !== 'config.txt' && name !== 'tryboot.txt');
  return { partition, selection, words, way, lifeboat: lifeboatConfig(given, selection, included) };
}

/** The firmware finds all files by the names that they have now; only the initramfs and the command line are others. */
function lifeboatConfig(
  { facts, partition, config, request: { kernel, is64Bit }, evaluate, evaluation }: Given,
  { prefix }: BootSelection,
  included: readonly string[],
): LifeboatConfig | string {
  const request = { initramfs: initramfsName, commandLineFile: commandLineName, kernel, is64Bit };
  if (longestLine(request) > safeLineBytes) return 'the firmware would cut the line that names the kernel';
  if (evaluation.some(({ settings }) => settings.get('boot_ramdisk') === '1'))
    return 'the board starts a boot.img (boot_ramdisk=1)';
  if (evaluation.some(({ settings }) => settings.has('overlay_prefix'))) return 'overlay_prefix is set';
  const text = wholeText(config, request, 'Made by migrate.');
  const after = evaluate(parseConfigTxt(Buffer.from(text, 'utf8')), 'config.txt', false);
  if (!after.every((each, index) => startsStage2(each, evaluation[index], { request, decided: ofWholeText })))
    return 'an initramfs line in an included file would compete with that of stage 2';
  const decided = new Set(['kernel', 'cmdline', 'ramfsfile']);
  const named = evaluation
    .flatMap(({ settings }) => [...settings])
    .filter(([name]) => !decided.has(name))
    .flatMap(([, value]) => [prefix + value, value.replace(/^\//, '')])
    .filter((name) => listed(facts, `${partition.directory}/${name}`)?.kind === 'file');
  return { text, files: [...new Set([...included, ...named])] };
}

/** Names as config.txt needs them: the firmware puts os_prefix before each, also before ours. */
function requestFor({ prefix, kernel }: BootSelection, is64Bit: boolean): Request {
  return {
    initramfs: `${directoryName}/${initramfsName}`,
    commandLineFile: `${directoryName}/${commandLineName}`,
    kernel: kernel.startsWith(prefix) ? kernel.slice(prefix.length) : `/${kernel}`,
    is64Bit,
  };
}

/** One evaluation for each case of what cannot be known beforehand; the cases of two calls are in the same order. */
type Evaluate = (config: ConfigTxt, name: string, tryboot: boolean) => readonly Evaluation[];

/** Undefined where the files have more such filters (pins, screens) than can be looked at one by one. */
function evaluator(
  facts: Facts,
  { model, read }: { model: PiModel; read: (name: string) => ConfigTxt | undefined },
): Evaluate | undefined {
  const serial = serialOf(facts);
  const base = { model, ...(serial === undefined ? {} : { serial }) };
  const filters = new Set<string>();
  const assume = (filter: string): boolean => filters.add(filter).size > 0;
  for (const tryboot of [false, true]) evaluateConfig(read, 'config.txt', { ...base, tryboot, assume });
  if (filters.size > unknownFilterLimit) return undefined;
  const order = [...filters];
  return (config, name, tryboot) =>
    Array.from({ length: 2 ** order.length }, (_, holding) => {
      const state: FirmwareState = {
        ...base,
        tryboot,
        assume: (filter) => ((holding >> order.indexOf(filter)) & 1) === 1,
      };
      return evaluateConfig((wanted) => (wanted === name ? config : read(wanted)), name, state);
    });
}

interface Given {
  readonly facts: Facts;
  readonly partition: BootPartition;
  readonly config: ConfigTxt;
  readonly request: Request;
  readonly words: readonly string[];
  readonly evaluate: Evaluate;
  readonly evaluation: readonly Evaluation[];
}

/** Firmware that has the tryboot property in its device tree reads tryboot.txt; the arming step asks it again. */
function trybootWay({ facts, partition, config, request, evaluate, evaluation }: Given): BootWay | readonly Finding[] {
  const { directory } = partition;
  const findings: Finding[] = [...checkLineLength(directory, request)];
  const command = vcmailboxPaths.find((path) => listed(facts, path)?.kind === 'file');
  if (command === undefined || listed(facts, mailboxDevice) === undefined) {
    findings.push(
      error(
        'rpi-mailbox',
        command === undefined ? '/usr/bin/vcmailbox' : mailboxDevice,
        'it is missing, and without it the firmware cannot be told to boot once',
        'Install raspi-utils, or libraspberrypi-bin on older systems',
      ),
    );
  }
  if (listed(facts, `${directory}/tryboot.txt`) !== undefined) {
    findings.push(
      error(
        'rpi-tryboot-taken',
        `${directory}/tryboot.txt`,
        'it exists already, and belongs to someone else',
        'Finish the update that made it, or remove it',
      ),
    );
  }
  const text = wholeText(config, request, 'Made by migrate; removed by "migrate undo".');
  const after = evaluate(parseConfigTxt(Buffer.from(text, 'utf8')), 'tryboot.txt', true);
  if (!after.every((each, index) => startsStage2(each, evaluation[index], { request, decided: ofWholeText }))) {
    findings.push(
      error(
        'rpi-tryboot-differs',
        `${directory}/config.txt`,
        'with the tryboot flag it would start other files or set up the board in another way: by a [tryboot] section, or by an initramfs line in an included file',
        'Remove that section, or move that line to config.txt',
      ),
    );
  }
  return findings.length > 0 || command === undefined ? findings : { kind: 'tryboot', text, command };
}

/** Older firmware: one sector of config.txt in place, where it has comments enough. */
function switchWay({
  facts,
  partition,
  config,
  request,
  words,
  evaluate,
  evaluation,
}: Given): BootWay | readonly Finding[] {
  const path = `${partition.directory}/config.txt`;
  const findings: Finding[] = [...checkLineLength(partition.directory, request)];
  const update = 'Update the firmware to one that knows tryboot (apt full-upgrade on Debian 10 or newer) and reboot';
  if (evaluation.some((each) => each.initramfs.length > 0 || usesRamfs(each))) {
    findings.push(
      error(
        'rpi-initramfs',
        path,
        'it starts an initramfs of its own, which cannot be replaced for one boot by this old firmware',
        update,
      ),
    );
  }
  const root = argumentValue(words, 'root') ?? '';
  if (!/^(\/dev\/|PARTUUID=)/.test(root)) {
    findings.push(
      error(
        'rpi-root-argument',
        `${partition.directory}/cmdline.txt`,
        `root=${root} needs an initramfs, so the old system would not start if stage 2 could not be read`,
        update,
      ),
    );
  }
  if (findings.length > 0) return findings;
  const bytes = Buffer.from(bootFile(facts, path)?.text ?? '', 'utf8');
  const block = ['[all]\n', ...bootLines(request)].join('');
  const change = sectorChanges(config, block).find((candidate) =>
    evaluate(parseConfigTxt(withSectorChange(bytes, candidate)), 'config.txt', false).every((each, index) =>
      startsStage2(each, evaluation[index], { request, decided: ofSwitch }),
    ),
  );
  if (change !== undefined) return { kind: 'switch', change };
  return [
    error(
      'rpi-config-room',
      path,
      `this firmware does not know tryboot, and no comment near its end has room for the ${block.length} bytes that start stage 2, which only a change within one sector makes safe against a power cut`,
      `Append ${Math.ceil((block.length * 2) / paddingBytes)} lines of "${'#'.repeat(paddingBytes - 1)}" to it. ${update}`,
    ),
  ];
}

const paddingBytes = 60;

function checkLineLength(directory: string, request: Request): Finding[] {
  const longest = longestLine(request);
  if (longest <= safeLineBytes) return [];
  return [
    error('rpi-long-name', directory, `a line of ${longest} bytes would be cut by the firmware`, 'Use shorter names'),
  ];
}
