// How the hook gets into /uEnv.txt of partition 1.
import {
  changesInComments,
  error,
  type Facts,
  type Finding,
  type Mount,
  type SectorChange,
  type StepOf,
  withSectorChange,
} from '@migrate/core';
import { bootFile, listed } from './boot-medium.ts';
import { hookLines, ownNames, wholeEnvironment, withOldCommandKept } from './boot-script.ts';
import { evaluateUenv, parseUenvTxt, type UenvTxt } from './uenv-txt.ts';

export type HookWay =
  /** A new file, or one that its file system replaces as a whole or not at all. */
  | { readonly kind: 'write'; readonly contents: Pick<StepOf<'write-file'>, 'text' | 'mode' | 'encoding'> }
  /** One sector of a file that a FAT cannot replace safely. */
  | { readonly kind: 'switch'; readonly change: SectorChange };

/** Words of an old uenvcmd beyond which it is not certain that U-Boot ran it (CONFIG_SYS_MAXARGS less `test -n`). */
const oldCommandWords = 13;

export function hookWay(
  facts: Facts,
  { path, mount, scriptPath }: { path: string; mount: Mount; scriptPath: string },
): HookWay | readonly Finding[] {
  const file = bootFile(facts, path);
  if (file === undefined && listed(facts, path) === undefined) {
    return { kind: 'write', contents: { text: wholeEnvironment([], hookLines(scriptPath, false)), mode: 0o644 } };
  }
  if (file === undefined || Buffer.byteLength(file.text) !== file.sizeBytes || /[\0\uFFFD]/.test(file.text)) {
    return [error('beagle-environment', path, 'it is not a text that can be read', 'Correct it and try again')];
  }
  const entries = parseUenvTxt(Buffer.from(file.text, 'utf8'));
  if (entries.some(({ meaning }) => meaning.kind === 'end')) {
    const message = 'U-Boot reads it only up to a line that begins with =';
    return [error('beagle-environment', path, message, 'Remove that line')];
  }
  const before = evaluateUenv(entries);
  const oldCommand = before.get('uenvcmd');
  if (entries.some(({ raw, meaning }) => meaning.kind !== 'comment' && ownNames.test(raw))) {
    const hint = 'Run migrate undo, or remove the lines that begin with bmhook= and uenvcmd=run bmhook';
    return [error('beagle-environment', path, 'it has the lines of a migration already', hint)];
  }
  if ((oldCommand ?? '').split(/\s+/).length > oldCommandWords) {
    const message = 'its uenvcmd has more words than U-Boot may take, so it is not certain whether it is run';
    return [
      error('beagle-environment', path, message, 'Move them to a variable of their own and let uenvcmd run that'),
    ];
  }
  const hook = hookLines(scriptPath, oldCommand !== undefined);
  if (mount.fileSystem !== 'vfat')
    return { kind: 'write', contents: { text: wholeEnvironment(entries, hook), mode: file.mode } };
  const change = findChange(entries, hook);
  if (change !== undefined) return { kind: 'switch', change };
  return [noRoom(path, hook, oldCommand !== undefined)];
}

function noRoom(path: string, hook: string, hasOldCommand: boolean): Finding {
  const lines = Math.ceil((hook.length * 2) / paddingBytes);
  return error(
    'beagle-environment-room',
    path,
    `no comment in it has room for the ${hook.length} bytes that start stage 2${hasOldCommand ? ', beside its own uenvcmd' : ''}, and on FAT only a change within one sector is safe against a power cut`,
    `Add ${lines} lines of "${'#'.repeat(paddingBytes - 1)}" ${hasOldCommand ? 'directly before the line uenvcmd=' : 'at its end'} and try again`,
  );
}

const paddingBytes = 60;

/** A change of one sector after which the file says the same but for our hook; an old uenvcmd is renamed in that very sector. */
function findChange(entries: UenvTxt, hook: string): SectorChange | undefined {
  const lines = (of: UenvTxt) =>
    of.map(({ raw, meaning }) => ({ raw, isSpare: meaning.kind === 'comment' || meaning.kind === 'blank' }));
  const before = Buffer.from(entries.map(({ raw }) => raw).join(''), 'latin1');
  const wanted = new Map([
    ...evaluateUenv(withOldCommandKept(entries)),
    ...evaluateUenv(parseUenvTxt(Buffer.from(hook))),
  ]);
  return changesInComments(lines(withOldCommandKept(entries)), hook)
    .map((change): SectorChange => {
      const length = Buffer.from(change.original, 'base64').length;
      const original = before.subarray(change.offsetBytes, change.offsetBytes + length).toString('base64');
      return { ...change, original };
    })
    .find((change) => {
      const after = evaluateUenv(parseUenvTxt(withSectorChange(before, change)));
      return after.size === wanted.size && [...wanted].every(([name, value]) => after.get(name) === value);
    });
}
