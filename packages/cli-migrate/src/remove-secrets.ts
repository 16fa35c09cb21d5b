// What stage 2 takes off the payload's partition when it gives way to Windows: FAT knows no rights, and whoever may log in there could
// read passwords and keys until "migrate undo" removes the partition.
import { type Host, imagePayloads, messageOf, type Plan } from '@migrate/core';

/** Larger files are removed only: the machine shall be back soon, and what has no name only administrators can read. */
const overwrittenBytes = 16 * 1024 * 1024;

/**
 * Overwrites and removes the files with passwords and keys below `root`, where the payload's file system is mounted. Only for a payload
 * with a partition of its own, which undo removes as a whole; others may be files of the old system. Whatever fails is told to `say`
 * and is no reason to stop: the old system comes back without it.
 */
export async function removeSecrets(
  host: Pick<Host, 'status' | 'overwriteInPlace' | 'removeFile'>,
  plan: Plan,
  { root, say }: { readonly root: string; readonly say: (text: string) => void },
): Promise<void> {
  for (const inFileSystem of secretPaths(plan)) {
    const path = `${root}${inFileSystem}`;
    try {
      const { sizeBytes } = (await host.status(path)) ?? {};
      if (sizeBytes === undefined) continue;
      if (sizeBytes <= overwrittenBytes) await host.overwriteInPlace(path, new Uint8Array(sizeBytes));
      await host.removeFile(path);
    } catch (thrown) {
      say(`${path} holds secrets and could not be removed: ${messageOf(thrown)}`);
    }
  }
}

/** All of the payload but the image, what was packed of it, and the lifeboat that may have been made of that. */
function secretPaths({ image, stage1, stage2 }: Plan): readonly string[] {
  if (!stage1.some(({ kind }) => kind === 'create-payload-partition')) return [];
  const isImage = imagePayloads(image);
  const paths = stage2.flatMap((step) => {
    if (step.kind === 'load-payload')
      return step.files.filter(({ name }) => !isImage.has(name)).map(({ pathInFileSystem }) => pathInFileSystem);
    return step.kind === 'fill-lifeboat' ? [...step.secrets, step.path] : [];
  });
  return [...new Set(paths)];
}
