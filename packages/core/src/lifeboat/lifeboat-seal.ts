// What stage 1 says of the files that stage 2 is to make a lifeboat of, once they are complete: their hashes could not be in the plan.
import { MigrateError } from '../error.ts';

export interface LifeboatSeal {
  readonly planId: string;
  readonly files: readonly SealedFile[];
}

export interface SealedFile {
  /** In the lifeboat. */
  readonly path: string;
  readonly sizeBytes: number;
  /** Lower-case hex. */
  readonly sha256: string;
}

export function serializeLifeboatSeal(seal: LifeboatSeal): Uint8Array {
  return new TextEncoder().encode(`${JSON.stringify(seal)}\n`);
}

/** Throws `verify-mismatch` for one that is damaged or of another plan. */
export function parseLifeboatSeal(bytes: Uint8Array, planId: string): LifeboatSeal {
  const seal = parsed(new TextDecoder().decode(bytes));
  if (seal.planId !== planId || !Array.isArray(seal.files) || !seal.files.every(isSealedFile))
    throw new MigrateError('verify-mismatch', 'the hashes for the lifeboat are not what stage 1 wrote');
  return { planId, files: seal.files };
}

function isSealedFile(value: unknown): value is SealedFile {
  const { path, sizeBytes, sha256 } = (value ?? {}) as Partial<Record<keyof SealedFile, unknown>>;
  return typeof path === 'string' && Number.isSafeInteger(sizeBytes) && typeof sha256 === 'string';
}

function parsed(text: string): Partial<Record<keyof LifeboatSeal, unknown>> {
  try {
    return (JSON.parse(text) ?? {}) as Partial<Record<keyof LifeboatSeal, unknown>>;
  } catch {
    return {};
  }
}
