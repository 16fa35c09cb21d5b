// What stage 1 writes beside a complete archive, so that stage 2 knows it again: size and hash could not be in the plan.
import { MigrateError } from '../error.ts';
import type { Host } from '../host/host.ts';

export interface BackupSeal {
  readonly planId: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export async function writeSeal(host: Host, path: string, seal: BackupSeal): Promise<void> {
  await host.writeDurable(path, new TextEncoder().encode(`${JSON.stringify(seal)}\n`), { mode: 0o600 });
}

/** Throws `verify-mismatch` for a seal that is damaged, of another plan, or of more than `limitBytes`. */
export async function readSeal(
  host: Host,
  path: string,
  { planId, limitBytes }: { planId: string; limitBytes: number },
): Promise<BackupSeal> {
  const bytes = await host.readFile(path, { limitBytes: 4096 });
  const seal = parsed(new TextDecoder().decode(bytes));
  const isSound =
    seal.planId === planId &&
    typeof seal.sizeBytes === 'number' &&
    seal.sizeBytes <= limitBytes &&
    typeof seal.sha256 === 'string';
  if (!isSound) throw new MigrateError('verify-mismatch', `${path} is not what stage 1 wrote`);
  return seal as BackupSeal;
}

function parsed(text: string): Partial<Record<keyof BackupSeal, unknown>> {
  try {
    return (JSON.parse(text) ?? {}) as Partial<Record<keyof BackupSeal, unknown>>;
  } catch {
    return {};
  }
}
