// What an installed grub.cfg does at boot, read as text. It must be proven, not assumed: the files in /etc/grub.d only say
// what the next update-grub would write.

export interface GrubMenu {
  /** 00_header's code that boots `next_entry` once and clears it in the environment block before anything boots. */
  readonly clearsNextEntry: boolean;
  /** 41_custom's code that sources custom.cfg beside grub.cfg. */
  readonly sourcesCustomCfg: boolean;
  /** Signatures are demanded of every file (`check_signatures=enforce`). */
  readonly enforcesSignatures: boolean;
}

/** Reads the three properties from the commands of a menu, comments left out. */
export function readGrubMenu(text: string): GrubMenu {
  const lines = text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'));
  return {
    clearsNextEntry: clearsNextEntry(lines),
    sourcesCustomCfg: sourcesCustomCfg(lines),
    enforcesSignatures: lines.some((line) => /^(set|export)?\s*check_signatures=["']?enforce/.test(line)),
  };
}

/** In this order: the environment is loaded, next_entry becomes the default, is emptied, and the emptiness is saved. */
function clearsNextEntry(lines: readonly string[]): boolean {
  const load = lines.findIndex((line) => /\bload_env\b/.test(line));
  const condition = findFrom(lines, load, /^if \[ "\$\{next_entry\}" \]\s*;\s*then$/);
  const use = findFrom(lines, condition, /^set default="\$\{next_entry\}"$/);
  const clear = findFrom(lines, condition, /^set next_entry=("")?$/);
  const save = findFrom(lines, clear, /^save_env next_entry$/);
  const end = findFrom(lines, condition, /^(else|fi)\b/);
  return [load, condition, use, clear, save].every((index) => index >= 0) && use < end && save < end;
}

function sourcesCustomCfg(lines: readonly string[]): boolean {
  return lines.some((line) => /^source\s+"?\$\{?(config_directory|prefix)\}?\/custom\.cfg"?$/.test(line));
}

function findFrom(lines: readonly string[], from: number, pattern: RegExp): number {
  if (from < 0) return -1;
  return lines.findIndex((line, index) => index >= from && pattern.test(line));
}
