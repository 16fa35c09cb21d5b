// Which settings of config.txt count on a given board, as its firmware decides it
// (raspberrypi/documentation, config_txt/conditional.adoc).
import type { ConfigTxt } from './config-txt.ts';
import type { PiModel } from './models.ts';

export interface FirmwareState {
  readonly model: PiModel;
  /** Lowest 32 bits of the serial number, as `[0x…]` compares them; undefined where it is not known. */
  readonly serial?: number;
  /** Whether this start was asked for with the tryboot flag. */
  readonly tryboot: boolean;
  /** What is taken for filters that cannot be known beforehand: pins, screens, serial numbers not known. */
  readonly assume: (filter: string) => boolean;
}

export interface Evaluation {
  /** Last value of each plain setting. */
  readonly settings: ReadonlyMap<string, string>;
  /** dtoverlay, dtparam and their like, which add up, in order. */
  readonly overlays: readonly string[];
  readonly initramfs: readonly {
    readonly files: readonly string[];
    readonly address: string;
    readonly place: string;
  }[];
  /** Lines that count but say nothing known. */
  readonly unknown: readonly string[];
  /** Files named by `include` that are not there. */
  readonly missing: readonly string[];
}

/** Settings that add up instead of replacing each other. */
const accumulating = new Set(['dtoverlay', 'dtparam', 'device_tree_overlay', 'device_tree_param', 'gpio']);
const includeDepth = 5;

/** Follows `include`; `read` gives a file by its name on the boot partition. */
export function evaluateConfig(
  read: (name: string) => ConfigTxt | undefined,
  start: string,
  state: FirmwareState,
): Evaluation {
  const settings = new Map<string, string>();
  const overlays: string[] = [];
  const initramfs: Evaluation['initramfs'][number][] = [];
  const unknown: string[] = [];
  const missing: string[] = [];
  const filters = new Map<string, boolean>();
  const follow = (name: string, depth: number): void => {
    const config = depth > includeDepth ? undefined : read(name);
    if (config === undefined) {
      missing.push(name);
      return;
    }
    for (const { meaning } of config) {
      if (meaning.kind === 'section') applyFilter(filters, meaning.filter, state);
      else if ([...filters.values()].includes(false)) continue;
      else if (meaning.kind === 'include' && state.model.mayIgnoreInclude) unknown.push(`include ${meaning.file}`);
      else if (meaning.kind === 'include') follow(meaning.file, depth + 1);
      else if (meaning.kind === 'unknown') unknown.push(meaning.text);
      else if (meaning.kind === 'initramfs') {
        initramfs.push({ files: meaning.files, address: meaning.address, place: name });
      } else if (meaning.kind === 'setting') {
        if (accumulating.has(meaning.name)) overlays.push(`${meaning.name}=${meaning.value}`);
        else settings.set(meaning.name, meaning.value);
      }
    }
  };
  follow(start, 0);
  return { settings, overlays, initramfs, unknown, missing };
}

/** `[all]` clears all filters; one of a kind replaces the former of its kind; different kinds must all hold. */
function applyFilter(filters: Map<string, boolean>, filter: string, state: FirmwareState): void {
  if (filter === 'all') {
    filters.clear();
  } else {
    const [kind, holds] = judgeFilter(filter, state);
    filters.set(kind, holds);
  }
}

function judgeFilter(filter: string, { model, serial, tryboot, assume }: FirmwareState): [string, boolean] {
  if (filter === 'none') return ['none', false];
  if (filter === 'tryboot') return ['tryboot', tryboot];
  if (/^(pi|cm)\d/.test(filter)) return ['model', model.filters.includes(filter)];
  if (/^0x[0-9a-f]+$/i.test(filter))
    return ['serial', serial === undefined ? assume(filter) : Number(filter) === serial];
  const boardType = /^board-type=(\w+)$/.exec(filter)?.[1];
  if (boardType !== undefined && model.boardTypes.length === 1)
    return ['board-type', Number(boardType) === model.boardTypes[0]];
  // gpio4=1, EDID=…, HDMI:1, partition=2, and what newer firmware may bring.
  return [filter.replace(/[\d=:].*$/, ''), assume(filter)];
}
