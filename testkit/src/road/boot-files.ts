import type { Machine } from '../machine.ts';

/**
 * Everything that stage 1 may touch below `boot` and in its state directory, as text that can be compared: names, modes, owners,
 * contents, and times of change, which Node can set to about a microsecond only. `boot` is taken without what is mounted in it.
 */
export async function bootFiles(machine: Machine, boot = '/boot'): Promise<string> {
  const script = `
    find ${boot} /var/lib/balena-migrate -xdev ! -type d -printf '%p %y %m %U:%G %T@ %s %l\\n' 2>/dev/null | sort
    find ${boot} /var/lib/balena-migrate -xdev -type d -printf '%p %y %m %U:%G\\n' 2>/dev/null | sort
    find ${boot} -xdev -type f -exec sha256sum {} + | sort -k 2
  `;
  const { stdout } = await machine.runShell(`${script}\ntrue`);
  return stdout.replace(/(\d{10}\.\d{3})\d+/g, '$1');
}
