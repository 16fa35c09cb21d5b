// Checks NetworkManager connection files (keyfiles) that the user gives, for what would leave the device offline. No content of a
// file gets into a finding: it may hold passwords. Format: nm-settings-keyfile(5) and GLib's GKeyFile.

import { quoted } from '../config/quoted.ts';
import type { Finding } from '../plan/finding.ts';

const sizeLimitBytes = 64 * 1024;
/** Names of Wi-Fi in a keyfile, the short and the long form. */
const wifiNames = ['wifi', '802-11-wireless'];
const securityNames = ['wifi-security', '802-11-wireless-security'];

type Sections = ReadonlyMap<string, ReadonlyMap<string, string>>;

interface Fault {
  readonly severity: Finding['severity'];
  readonly code: string;
  readonly line?: number;
  readonly message: string;
  readonly hint: string;
}

/**
 * Checks one file by its name and contents. `connection` is present if and only if no finding is an error. `id` is what
 * NetworkManager shows, `type` for instance `ethernet`.
 */
export function parseConnectionFile(
  name: string,
  text: string,
): { connection?: { readonly id: string; readonly type: string }; findings: Finding[] } {
  const faults: Fault[] = nameFaults(name);
  const sections = readSections(text, faults);
  const connection = sections.get('connection');
  const [id, type] = [connection?.get('id'), connection?.get('type')];
  if (sections.size > 0 || faults.length === 0) faults.push(...contentFaults(sections));
  const findings = faults.map(({ severity, code, line, message, hint }) => ({
    severity,
    code: `connection-${code}`,
    where: line === undefined ? name : `${name}:${line}`,
    message,
    hint,
  }));
  const isSound = !faults.some((fault) => fault.severity === 'error') && id !== undefined && type !== undefined;
  return { findings, ...(isSound ? { connection: { id, type } } : {}) };
}

/** The name under which balenaOS finds the file in system-connections of its boot partition, which is FAT. */
function nameFaults(name: string): Fault[] {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they cannot be in a name on FAT
  if (/[\\/:*?"<>|\u0000-\u001f\u007f]/.test(name) || /[. ]$/.test(name) || name.length > 255 || name === '') {
    const message = `the name ${quoted(name)} cannot be stored on the boot partition, which is FAT`;
    return [error('name', message, 'Rename the file; use letters, digits, "-" and "_"')];
  }
  if (/^\.|~$|\.ignore$/.test(name)) {
    return [
      error(
        'name',
        'the new system passes over files of this name',
        'Rename it: no leading ".", no "~" or ".ignore" at its end',
      ),
    ];
  }
  return [];
}

function readSections(text: string, faults: Fault[]): Sections {
  const sections = new Map<string, Map<string, string>>();
  if (Buffer.byteLength(text) > sizeLimitBytes) {
    faults.push(
      error('too-large', `the file has more than ${sizeLimitBytes / 1024} KiB`, 'Check that this is a connection file'),
    );
    return sections;
  }
  if (/[\ufffd\ufeff\0]/.test(text)) {
    faults.push(error('encoding', 'the file is not plain UTF-8 text', 'Save it as UTF-8 without byte order mark'));
    return sections;
  }
  let current: Map<string, string> | undefined;
  for (const [index, raw] of text.split('\n').entries()) {
    const line = raw.trim();
    if (line === '' || line.startsWith('#')) continue;
    const header = /^\[([^[\]]+)\]$/.exec(line)?.[1];
    const equals = line.indexOf('=');
    if (header !== undefined) {
      current = sections.get(header) ?? new Map<string, string>();
      sections.set(header, current);
    } else if (equals > 0 && current !== undefined) {
      current.set(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
    } else {
      const message =
        current === undefined ? 'a section must begin before this line' : 'this is neither a section nor a setting';
      faults.push({ ...error('syntax', message, 'Write "[section]" and "name=value"'), line: index + 1 });
      // One fault is enough to see that this is another kind of file.
      return sections;
    }
  }
  return sections;
}

function contentFaults(sections: Sections): Fault[] {
  const connection = sections.get('connection');
  if (connection === undefined) {
    return [error('incomplete', 'it has no section [connection]', 'Give a NetworkManager connection file (keyfile)')];
  }
  const faults: Fault[] = [];
  for (const key of ['id', 'type']) {
    if (!connection.get(key)) {
      faults.push(
        error('incomplete', `[connection] has no ${key}`, `Add "${key}=…" to it, as NetworkManager writes it`),
      );
    }
  }
  if (wifiNames.includes(connection.get('type') ?? '')) faults.push(...wifiFaults(sections));
  if (connection.get('interface-name')) {
    faults.push({
      severity: 'warning',
      code: 'interface',
      message: 'it holds only for one interface name, and the new system may name that interface otherwise',
      hint: 'Remove interface-name, or choose the interface with mac-address',
    });
  }
  if (/^(false|no|0|off)$/i.test(connection.get('autoconnect') ?? '')) {
    const message = 'autoconnect is off, so this connection does not come up by itself';
    faults.push({ severity: 'warning', code: 'autoconnect', message, hint: 'Remove autoconnect' });
  }
  return faults;
}

function wifiFaults(sections: Sections): Fault[] {
  const faults: Fault[] = [];
  const wifi = firstOf(sections, wifiNames);
  const security = firstOf(sections, securityNames);
  if (!wifi?.get('ssid')) {
    faults.push(error('incomplete', '[wifi] has no ssid', 'Add "ssid=…" to the section [wifi]'));
  }
  if (['wpa-psk', 'sae'].includes(security?.get('key-mgmt') ?? '') && !security?.get('psk')) {
    const message = '[wifi-security] has no psk, and nobody could be asked for it';
    faults.push(error('incomplete', message, 'Store the password in the file: psk-flags=0 and "psk=…"'));
  }
  return faults;
}

function firstOf(sections: Sections, names: readonly string[]): ReadonlyMap<string, string> | undefined {
  return names.map((name) => sections.get(name)).find((found) => found !== undefined);
}

function error(code: string, message: string, hint: string): Fault {
  return { severity: 'error', code, message, hint };
}
