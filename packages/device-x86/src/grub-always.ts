// How GRUB starts stage 2 every time: once stage 2 has set a variable in its environment block, our own menu file starts it before
// anything else can be chosen.
import {
  type BootManager,
  type Facts,
  MigrateError,
  parseGrubEnvironment,
  quoteForGrub,
  setGrubVariable,
} from '@migrate/core';
import { directoryOf, pathInFileSystem, placeOf } from './grub-places.ts';

/** Set by stage 2 to the name of our entry. */
const alwaysVariable = 'migrate_always';
/** One letter for each start since then; kept by GRUB itself, so that a kernel that dies counts too. */
const startsVariable = 'migrate_starts';
/** What it should be after this start. */
const countedVariable = 'migrate_counted';
/** Init of stage 2 waits for help at so many; no more are counted, and a start that cannot be is taken for the last one. */
const mostStarts = 'xxxx';
const sectorBytes = 512;

/** Lines for custom.cfg, which the menu reads when it has loaded the environment block. `start`: what starts stage 2. */
export function startedAlways(entryId: string, start: (addedWords: string) => readonly string[]): readonly string[] {
  return [
    `if [ "\${${alwaysVariable}}" = ${quoteForGrub(entryId)} ]; then`,
    `  if [ "\${${startsVariable}}" != ${mostStarts} ]; then`,
    `    set ${countedVariable}="x\${${startsVariable}}"`,
    `    set ${startsVariable}="\${${countedVariable}}"`,
    `    save_env ${startsVariable}`,
    // Read again from the disk. (GRUB 2.00 knows no names here and loads all; nothing else has changed.)
    `    set ${startsVariable}=`,
    `    load_env ${startsVariable}`,
    `    if [ "\${${startsVariable}}" != "\${${countedVariable}}" ]; then`,
    `      set ${startsVariable}=${mostStarts}`,
    '    fi',
    '  fi',
    ...start(` migrate.starts="\${${startsVariable}}"`),
    '  boot',
    // The old system must not start any more; a disk may have been slow.
    '  sleep 30',
    '  reboot',
    'fi',
  ];
}

/** See BootManager. GRUB's own file system code reads the disk, so all that it needs must lie on the payload's file system or off it whole. */
export const startsAlways: NonNullable<BootManager['startsAlways']> = ({ entryId, fileSystemUuid }, facts) => {
  const directory = directoryOf(facts);
  const path = `${directory}/grubenv`;
  const found = (file: string): string | undefined => {
    const place = placeOf(facts, file);
    return place?.partition.fileSystem?.uuid === fileSystemUuid ? pathInFileSystem(place.mount, file) : undefined;
  };
  const [environment, boot, kernel] = [found(path), found('/boot'), found(facts.kernel.image?.path ?? '')];
  if (environment === undefined || boot === undefined || kernel === undefined)
    return '/boot lies on a file system of its own';
  const block = facts.bootFiles.find((file) => file.path === path)?.text ?? '';
  if (!fitsSector(block, path, entryId)) return `${path} has too many variables for a change of one sector`;
  return {
    step: { kind: 'rearm-grub', id: 'rearm-grub', pathInFileSystem: environment, name: alwaysVariable, value: entryId },
    // Fonts and pictures of a menu may lie anywhere; GRUB reads them before it comes to our lines.
    keeps: { required: [boot], optional: pathsInMenu(facts, directory) },
    pathInFileSystem: found,
  };
};

/** All that will be set lies in the first sector of the block then, so that every change of it is one of a single sector. */
function fitsSector(block: string, path: string, entryId: string): boolean {
  try {
    const changed = [
      // GRUB leaves it empty when it has booted its entry.
      ['next_entry', ''],
      [alwaysVariable, entryId],
      [startsVariable, mostStarts],
    ].reduce((text, [name = '', value]) => setGrubVariable(text, name, { value, path }), block);
    return parseGrubEnvironment(changed.slice(0, sectorBytes), path).get(startsVariable) === mostStarts;
  } catch (thrown) {
    if (thrown instanceof MigrateError) return false;
    throw thrown;
  }
}

/** As GRUB names them: from the root of a file system, most likely the one that holds the menu. */
function pathsInMenu({ bootFiles }: Facts, directory: string): readonly string[] {
  const menu = bootFiles.find((file) => file.path === `${directory}/grub.cfg`)?.text ?? '';
  return [...new Set(menu.match(/(?<![\w.-])\/[\w.@+/-]+/g) ?? [])].sort();
}
