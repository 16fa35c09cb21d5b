// The step of stage 1 that says what the files are of which stage 2 will make a lifeboat, so that it gives way where one has changed.
import { createHash } from 'node:crypto';
import { readToEnd } from '../disk/byte-reader.ts';
import type { StepHandlers } from '../execute/execute.ts';
import { newFile } from '../execute/steps-files.ts';
import type { Host } from '../host/host.ts';
import type { StepOf } from '../plan/plan.ts';
import { type SealedFile, serializeLifeboatSeal } from './lifeboat-seal.ts';

type Source = StepOf<'seal-lifeboat'>['sources'][number];

export const sealSteps: Pick<StepHandlers, 'seal-lifeboat'> = {
  'seal-lifeboat': newFile<StepOf<'seal-lifeboat'>>(
    ({ sources }) => `write the hashes of ${sources.length} files, of which stage 2 makes a lifeboat`,
    async ({ sources }, { host, plan }) =>
      serializeLifeboatSeal({ planId: plan.id, files: await sealedFiles(host, sources) }),
    0o600,
  ),
};

/** Reads all of them. Throws the errors of Host.openRead. */
export async function sealedFiles(host: Host, sources: readonly Source[]): Promise<readonly SealedFile[]> {
  const files: SealedFile[] = [];
  for (const { path, from } of sources) {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const chunk of readToEnd(await host.openRead(from))) {
      hash.update(chunk);
      sizeBytes += chunk.length;
    }
    files.push({ path, sizeBytes, sha256: hash.digest('hex') });
  }
  return files;
}
