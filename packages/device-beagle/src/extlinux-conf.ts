// extlinux.conf, as far as U-Boot reads it (doc/README.pxe): which entry it starts.

export interface ExtlinuxEntry {
  readonly label: string;
  /** Keys in lower case: kernel, linux, initrd, fdt, fdtdir, append… */
  readonly settings: ReadonlyMap<string, string>;
}

export interface ExtlinuxConf {
  /** The entry that is started without a choice: the one that `default` names, else the first. */
  readonly started?: ExtlinuxEntry;
  readonly entries: readonly ExtlinuxEntry[];
}

/** Never fails; keys outside of an entry other than `default` are passed over. */
export function parseExtlinuxConf(text: string): ExtlinuxConf {
  const entries: { label: string; settings: Map<string, string> }[] = [];
  let wanted: string | undefined;
  for (const line of text.split(/\r?\n/)) {
    const [, key = '', value = ''] = /^\s*([A-Za-z][\w-]*)\s*(.*?)\s*$/.exec(line) ?? [];
    const name = key.toLowerCase();
    if (name === 'label') entries.push({ label: value, settings: new Map() });
    else if (name === 'default') wanted = value;
    else if (name !== '') entries.at(-1)?.settings.set(name, value);
  }
  const started = entries.find(({ label }) => label === wanted) ?? entries[0];
  return started === undefined ? { entries } : { entries, started };
}
