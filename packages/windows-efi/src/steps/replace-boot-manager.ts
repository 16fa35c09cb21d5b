// For firmware that ignores BootNext: GRUB under the name of Windows' boot manager, whose copy it starts unless it is told to start
// stage 2. FAT knows no atomic rename, so the copy is complete and proven before the name changes hands.
import { createHash } from 'node:crypto';
import {
  type Host,
  MigrateError,
  pathBelow,
  type StepHandlers,
  type StepOf,
  type UndoableHandler,
  type WindowsPartition,
} from '@migrate/core';
import { armedEnvironment, bootManagerMenu, environmentPath, loaderDirectory, menuPath } from '../boot/grub-menu.ts';
import { mountEspScript, unmountEspScript } from '../powershell/change-scripts.ts';
import { runPowerShell } from '../powershell/run-powershell.ts';
import { findPayload } from './payload-partition.ts';

/** On the system partition. */
const bootManagerPath = '/EFI/Microsoft/Boot/bootmgfw.efi';
/** Windows' boot manager finds its BCD from the partition that it was read from, whatever its own name. */
const originalPath = '/EFI/Microsoft/Boot/bootmgfw.migrate-original.efi';

type Replace = StepOf<'replace-windows-boot-manager'>;

const replaceBootManager: UndoableHandler<Replace> = {
  describe: ({ esp }) =>
    `put GRUB in place of Windows' boot manager on the system partition (${esp.partition} of disk ${esp.disk}): it starts stage 2 once, and Windows ever after`,
  prepare: ({ esp }, { host }) =>
    withEsp(host, esp, async (root) => {
      const [bootManager, original, directory] = [bootManagerPath, originalPath, loaderDirectory].map((path) =>
        pathBelow(root, path),
      ) as [string, string, string];
      for (const path of [original, directory])
        if ((await host.status(path)) !== undefined)
          throw new MigrateError('busy', `${path} exists already and is not ours to overwrite`);
      const sha256 = await hashOf(host, bootManager);
      if (sha256 === undefined)
        throw new MigrateError('not-found', `${bootManager} is not there: what starts Windows?`);
      return { sha256 };
    }),
  apply: async ({ esp, loader, place, start, variable }, { host }) => {
    const { uuid } = await findPayload(host, place);
    const menu = bootManagerMenu(start, { payloadUuid: uuid, variable, original: originalPath });
    await withEsp(host, esp, async (root) => {
      const at = (path: string): string => pathBelow(root, path);
      if ((await host.status(at(originalPath))) === undefined) await copy(host, at(bootManagerPath), at(originalPath));
      if ((await host.status(at(loaderDirectory))) === undefined) await host.makeDirectory(at(loaderDirectory), 0o700);
      await host.writeDurable(at(menuPath), Buffer.from(menu), { mode: 0o600 });
      await host.writeDurable(at(environmentPath), Buffer.from(armedEnvironment(variable), 'latin1'), { mode: 0o600 });
      await copy(host, loader, at(bootManagerPath));
    });
  },
  undo: ({ esp }, saved, { host }) =>
    withEsp(host, esp, async (root) => {
      const at = (path: string): string => pathBelow(root, path);
      const sha256 = typeof saved === 'object' && saved !== null && 'sha256' in saved ? saved.sha256 : undefined;
      if (typeof sha256 !== 'string')
        throw new MigrateError('undo-failed', "the journal lacks the hash of Windows' boot manager");
      // A copy that was cut is none, and then the original is still in its place.
      if ((await hashOf(host, at(bootManagerPath))) !== sha256) {
        if ((await hashOf(host, at(originalPath))) !== sha256)
          throw new MigrateError('undo-failed', `neither ${bootManagerPath} nor its copy is what it was before`);
        await copy(host, at(originalPath), at(bootManagerPath));
      }
      for (const path of [originalPath, menuPath, environmentPath]) await host.removeFile(at(path));
      await host.removeDirectory(at(loaderDirectory));
    }),
};

export const bootManagerSteps: Pick<StepHandlers, 'replace-windows-boot-manager'> = {
  'replace-windows-boot-manager': replaceBootManager,
};

/** The system partition has no name of its own among Windows' files; it gets one for as long as `action` takes. */
async function withEsp<T>(host: Host, esp: WindowsPartition, action: (root: string) => Promise<T>): Promise<T> {
  const named = { diskGuid: esp.diskGuid, guid: esp.guid };
  const printed = await runPowerShell(host, 'mount-esp', named, mountEspScript);
  const { path, added } = (printed ?? {}) as Partial<Record<string, unknown>>;
  if (typeof path !== 'string' || path === '' || typeof added !== 'boolean')
    throw new MigrateError('invalid-input', 'mount-esp: PowerShell named no path of the system partition');
  try {
    return await action(path);
  } finally {
    await runPowerShell(host, 'unmount-esp', { ...named, path, added }, unmountEspScript);
  }
}

/** A copy with mode and time of its source, read back. */
async function copy(host: Host, from: string, to: string): Promise<void> {
  const source = await host.status(from);
  if (source === undefined) throw new MigrateError('not-found', `${from} is not there`);
  await host.copyDurable(from, to, { mode: source.mode, modifiedMs: source.modifiedMs });
  if ((await hashOf(host, to)) !== (await hashOf(host, from)))
    throw new MigrateError('verify-mismatch', `${to} is not what was copied from ${from}`);
}

/** Undefined where nothing is there. */
async function hashOf(host: Host, path: string): Promise<string | undefined> {
  if ((await host.status(path)) === undefined) return undefined;
  return createHash('sha256')
    .update(await host.readFile(path))
    .digest('hex');
}
