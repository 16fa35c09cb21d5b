import { type Emit, type Host, MigrateError, messageOf } from '@migrate/core';
import { placeBootFiles } from '../boot-files/place-boot-files.ts';
import { type TransplantResult, transplant } from '../transplant/transplant.ts';
import { appsJsonPath, dataRootPath, type Injection } from './prepare-injection.ts';

/**
 * Puts images, apps.json and connections in place. apps.json comes last and at once: the supervisor never reads it without its
 * images. Throws what `transplant` and `placeBootFiles` throw, after everything has been taken back; and `undo-failed`, which
 * says what is left, where that failed, or where apps.json could not be written beside images that are complete.
 */
export async function carryOutInjection(host: Host, injection: Injection, emit: Emit): Promise<TransplantResult> {
  const { request, appsJson, bootFiles, images } = injection;
  const { source, resinData, resinBoot, onTakenName = 'refuse' } = request;
  const undoBootFiles = resinBoot === undefined ? async () => {} : await placeBootFiles(host, resinBoot, bootFiles);
  let left = '';
  try {
    const names = images.map(({ id }) => id);
    const result = await transplant({ host, source, names, root: `${resinData}/${dataRootPath}`, onTakenName, emit });
    left = 'the images are there, but apps.json is not; cure that and run the command again';
    if (appsJson !== undefined) {
      const contents = new TextEncoder().encode(appsJson.text);
      await host.writeDurable(`${resinData}/${appsJsonPath}`, contents, { mode: 0o644 });
    }
    return result;
  } catch (thrown) {
    try {
      await undoBootFiles();
    } catch (undoThrown) {
      left = `${left === '' ? '' : `${left}; `}connections could not be removed: ${messageOf(undoThrown)}`;
    }
    if (left === '') throw thrown;
    throw new MigrateError('undo-failed', `${messageOf(thrown)}; ${left}`, { cause: thrown });
  }
}
