// config.txt of the Raspberry Pi firmware, line by line. Every byte is kept, so that printing gives back what was read.
// Format: raspberrypi/documentation, config_txt/what_is_config_txt.adoc and config_txt/boot.adoc.

/** Longest line that the firmware reads, in bytes; firmware of 2019 and before reads 78. What is longer is cut. */
export const lineLimitBytes = 98;
/** What every firmware reads whole; our own lines keep to it. */
export const safeLineBytes = 78;

/** What a line says to the firmware. */
export type LineMeaning =
  | { readonly kind: 'blank' }
  | { readonly kind: 'comment' }
  /** `[pi4]`, `[all]`, `[0x12345678]`, `[gpio4=1]`…; `filter` is what stands between the brackets. */
  | { readonly kind: 'section'; readonly filter: string }
  | { readonly kind: 'include'; readonly file: string }
  /** `initramfs a.img,b.img followkernel`: a space instead of "=". */
  | { readonly kind: 'initramfs'; readonly files: readonly string[]; readonly address: string }
  | { readonly kind: 'setting'; readonly name: string; readonly value: string }
  /** Nothing that the documentation knows; kept, and without effect. */
  | { readonly kind: 'unknown'; readonly text: string };

export interface ConfigLine {
  /** The line as it stands, with its line end if it has one; one character for each byte (latin1). */
  readonly raw: string;
  readonly meaning: LineMeaning;
}

export type ConfigTxt = readonly ConfigLine[];

/** Never fails: whatever the firmware would not understand is an `unknown` line. `limitBytes` cuts lines as the firmware does. */
export function parseConfigTxt(bytes: Uint8Array, limitBytes: number = lineLimitBytes): ConfigTxt {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1');
  return (text.match(/[^\n]*\n|[^\n]+$/g) ?? []).map((raw) => ({ raw, meaning: meaningOf(raw, limitBytes) }));
}

/** The bytes of a config.txt; the inverse of `parseConfigTxt`. */
export function printConfigTxt(config: ConfigTxt): Uint8Array {
  return Buffer.from(config.map((line) => line.raw).join(''), 'latin1');
}

function meaningOf(raw: string, limitBytes: number): LineMeaning {
  const text = raw
    .replace(/\r?\n$/, '')
    .slice(0, limitBytes)
    .trim();
  if (text === '') return { kind: 'blank' };
  if (text.startsWith('#')) return { kind: 'comment' };
  const section = /^\[([^\]]+)\]/.exec(text)?.[1];
  if (section !== undefined) return { kind: 'section', filter: section };
  const include = /^include\s+(\S+)/.exec(text)?.[1];
  if (include !== undefined) return { kind: 'include', file: include };
  const [, names, address] = /^initramfs\s+(\S+)(?:\s+(\S+))?/.exec(text) ?? [];
  if (names !== undefined) return { kind: 'initramfs', files: names.split(','), address: address ?? 'followkernel' };
  const [, name, value] = /^([A-Za-z0-9_:]+)=(.*)$/.exec(text) ?? [];
  if (name !== undefined && value !== undefined) return { kind: 'setting', name, value };
  return { kind: 'unknown', text };
}
