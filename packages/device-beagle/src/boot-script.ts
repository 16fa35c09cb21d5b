// What U-Boot is told: a hook in /uEnv.txt, which is as short as one sector allows, and the script that it loads.
import { MigrateError, type UbootFlag } from '@migrate/core';
import type { UbootFile } from './boot-medium.ts';
import { scriptImage } from './script-image.ts';
import { printUenvTxt, type UenvTxt } from './uenv-txt.ts';

export const directoryName = 'balena-migrate';
export const scriptName = 'uEnv.txt';
export const initramfsName = 'stage2.img';

/** First four bytes of the flag, and the number that they are to `itest.l` of a little-endian board. */
export const flagMagic = Buffer.from('bmig', 'latin1');
const flagNumber = `0x${flagMagic.readUInt32LE(0).toString(16)}`;
export const flagSectorBytes = 512;

/** COMMAND_LINE_SIZE of arch/arm (include/uapi/asm/setup.h). */
const commandLineLimit = 1024;

/** The old system's own `uenvcmd` goes on under this name, which is as long, so that one sector can be exchanged in place. */
const commandName = 'uenvcmd';
const oldCommandName = 'uenvold';
const hookName = 'bmhook';
/** Names of ours, which no other environment may use. */
export const ownNames = /\b(uenvold|bm(hook|dev|main|read|write|take|proof|kernel|tree|initrd|size|args|boot))\b/;

/**
 * Two lines for /uEnv.txt. `uenvcmd` stays short, since U-Boot tests it without quotes and passes over more words than a command
 * may have; it comes last, so that it is not there without what it runs. Without a script, a flag, or any file that is needed,
 * the flow of the old system goes on. Old environments have no `devtype`.
 */
export function hookLines(scriptPath: string, hasOldCommand: boolean): string {
  const load = `load \${bmdev} \${mmcdev}:1 \${loadaddr} ${scriptPath}`;
  return [
    `${hookName}=setenv bmdev mmc; test -n "\${devtype}" && setenv bmdev \${devtype}; `,
    `${load} && env import -t \${loadaddr} \${filesize} && run bmmain`,
    hasOldCommand ? `; run ${oldCommandName}\n` : '\n',
    `${commandName}=run ${hookName}\n`,
  ].join('');
}

/**
 * A boot.scr that does what the hook does, for distro boot: `distro_bootpart` is the partition that this is looking at. Older
 * environments load a boot.scr on their own as well, where it does nothing.
 */
export function startScript(scriptPath: string): Uint8Array {
  const load = `load \${devtype} \${devnum}:\${distro_bootpart} \${loadaddr} ${scriptPath}`;
  const run = `${load} && env import -t \${loadaddr} \${filesize} && run bmmain`;
  return scriptImage(`test -n "\${distro_bootpart}" && ${run}\n`, 'made by migrate');
}

/** The file with the name of its last `uenvcmd` exchanged; the same where it has none. */
export function withOldCommandKept(entries: UenvTxt): UenvTxt {
  const last = entries.findLastIndex(({ meaning }) => meaning.kind === 'variable' && meaning.name === commandName);
  return entries.map((entry, index) =>
    index === last && entry.meaning.kind === 'variable'
      ? {
          raw: entry.raw.replace(commandName, oldCommandName),
          meaning: { ...entry.meaning, name: oldCommandName },
        }
      : entry,
  );
}

/** /uEnv.txt where it can be written whole. */
export function wholeEnvironment(entries: UenvTxt, hook: string): string {
  const text = Buffer.from(printUenvTxt(withOldCommandKept(entries))).toString('utf8');
  return `${text === '' || text.endsWith('\n') ? text : `${text}\n`}# Made by migrate; removed by "migrate undo".\n${hook}`;
}

/** Variables that have the kind and the number of the medium, as whatever starts our script has set them. */
export interface MediumVariables {
  readonly type: string;
  readonly number: string;
}

export const environmentMedium: MediumVariables = { type: 'bmdev', number: 'mmcdev' };
export const distroMedium: MediumVariables = { type: 'devtype', number: 'devnum' };

export interface BootScript {
  readonly medium: MediumVariables;
  readonly flag: UbootFlag;
  readonly kernel: UbootFile;
  readonly deviceTree: UbootFile;
  readonly initramfs: UbootFile;
  readonly commandLine: readonly string[];
}

/**
 * The script: takes the flag, proves that the medium kept that, and starts stage 2. All addresses are those of the board's own
 * environment. No overlays are applied, as that is done by the old system's flow only. Throws `invalid-input` for kernel
 * arguments that U-Boot's shell would change.
 */
export function scriptText(script: BootScript): string {
  const [type, number] = [`\${${script.medium.type}}`, `\${${script.medium.number}}`];
  return [
    '# Made by migrate; removed by "migrate undo".',
    `bmread=${readFlag(script.flag, [type, number])}`,
    `bmwrite=${writeFlag(script.flag, [type, number])}`,
    `bmtake=run bmread && itest.l *\${loadaddr} == ${flagNumber} && mw.l \${loadaddr} 0 && run bmwrite && run bmproof`,
    `bmproof=mw.l \${loadaddr} 1 && run bmread && itest.l *\${loadaddr} == 0`,
    ...startLines(script),
    // Last, so that a file which is cut does nothing.
    'bmmain=if run bmtake; then echo Starting stage 2 of migrate; run bmboot; fi',
    '',
  ].join('\n');
}

/** Starts stage 2 as `bmboot`, which ends only where something is missing. */
function startLines({ medium, kernel, deviceTree, initramfs, commandLine }: Omit<BootScript, 'flag'>): string[] {
  const load = (file: UbootFile, address: string): string =>
    `load \${${medium.type}} \${${medium.number}}:${file.partition} \${${address}} ${file.path}`;
  return [
    `bmkernel=${load(kernel, 'loadaddr')}`,
    `bmtree=${load(deviceTree, 'fdtaddr')}`,
    `bminitrd=${load(initramfs, 'rdaddr')} && setenv bmsize \${filesize}`,
    `bmargs=setenv bootargs '${quotable(commandLine)}'`,
    `bmboot=run bmkernel && run bmtree && run bminitrd && run bmargs && bootz \${loadaddr} \${rdaddr}:\${bmsize} \${fdtaddr}`,
  ];
}

/** Starts the lifeboat that partition 1 is, every time: the text that `startScript` loads. */
export function lifeboatScript(script: Omit<BootScript, 'flag'>): string {
  return [
    '# Made by migrate.',
    ...startLines(script),
    // A medium may have been slow: the board starts again from its first loader on.
    'bmmain=echo Starting the lifeboat of migrate; run bmboot; sleep 30; reset',
    '',
  ].join('\n');
}

/** The same as /uEnv.txt, which is all that it takes there. */
export function lifeboatEnvironment(script: Omit<BootScript, 'flag'>): string {
  const hook = `${hookName}=setenv bmdev mmc; test -n "\${devtype}" && setenv bmdev \${devtype}; run bmmain`;
  return `${lifeboatScript(script)}${hook}\n${commandName}=run ${hookName}\n`;
}

function readFlag(flag: UbootFlag, [type, number]: readonly [string, string]): string {
  return flag.place === 'gap'
    ? `${type} dev ${number} && ${type} read \${loadaddr} ${sectorOf(flag)} 1`
    : `load ${type} ${number}:1 \${loadaddr} ${flag.path}`;
}

/** fatwrite before 2018 knows no directories, so that the file lies in the root and is named without one. */
function writeFlag(flag: UbootFlag, [type, number]: readonly [string, string]): string {
  return flag.place === 'gap'
    ? `${type} write \${loadaddr} ${sectorOf(flag)} 1`
    : `fatwrite ${type} ${number}:1 \${loadaddr} ${flag.path.slice(1)} ${flagSectorBytes.toString(16)}`;
}

function sectorOf(flag: UbootFlag & { place: 'gap' }): string {
  return `0x${(flag.offsetBytes / flagSectorBytes).toString(16)}`;
}

/** All arguments in one pair of quotes: one word, of which U-Boot expands nothing. */
function quotable(words: readonly string[]): string {
  const text = words.join(' ');
  if (/['\\]|[^ -~]/.test(text)) {
    throw new MigrateError(
      'invalid-input',
      'migrate.kernel_opts: U-Boot would change a quote, a backslash or a character that is not ASCII',
    );
  }
  if (text.length >= commandLineLimit) {
    throw new MigrateError(
      'invalid-input',
      `migrate.kernel_opts: the kernel takes ${commandLineLimit - 1} bytes, and these are ${text.length}`,
    );
  }
  return text;
}
