// Stage-1 steps that put files in place. Each takes back exactly what it did, wherever it was cut.
import { createHash } from 'node:crypto';
import { textAsIs } from '../assets/boot-files.ts';
import { withHostname } from '../assets/config-json-hostname.ts';
import { MigrateError } from '../error.ts';
import type { FileAttributes, Host } from '../host/host.ts';
import { buildInitramfs } from '../initramfs/initramfs.ts';
import { packFiles } from '../initramfs/pack-files.ts';
import { type Step, type StepOf, serializePlan } from '../plan/plan.ts';
import type { StepContext, StepHandlers, UndoableHandler } from './execute.ts';
import type { Saved } from './journal.ts';

type FileStepKind =
  | 'make-directory'
  | 'copy-files'
  | 'write-config-json'
  | 'write-plan'
  | 'write-secret'
  | 'build-initramfs'
  | 'pack-payload'
  | 'write-file';

const makeDirectory: UndoableHandler<StepOf<'make-directory'>> = {
  describe: (step) => `make the directory ${step.path}`,
  prepare: async (step, { host }) => ({ existed: (await host.linkStatus(step.path)) !== undefined }),
  apply: async (step, { host }) => {
    if ((await host.linkStatus(step.path)) === undefined) await host.makeDirectory(step.path, step.mode);
  },
  undo: async (step, saved, { host }) => {
    if (!existed(saved)) await host.removeDirectory(step.path);
  },
};

const copyFiles: UndoableHandler<StepOf<'copy-files'>> = {
  describe: (step) => `copy ${step.files.length} files of stage 2 (${mebibytes(step.files)} MiB)`,
  prepare: async (step, { host }) => {
    for (const file of step.files) await refuseExisting(host, file.to);
    return null;
  },
  apply: async (step, { host, emit }) => {
    const total = step.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    let done = 0;
    for (const file of step.files) {
      await host.copyDurable(file.from, file.to, { mode: file.mode });
      done += file.sizeBytes;
      emit({ kind: 'progress', text: 'copying stage 2', done, total, unit: 'bytes' });
    }
  },
  undo: async (step, _saved, { host }) => {
    for (const file of step.files) await host.removeFile(file.to);
  },
};

const writeConfigJson = newFile<StepOf<'write-config-json'>>(
  (step) => `write config.json with the hostname ${step.hostname}`,
  async (step, { host }) => {
    const contents = Buffer.from(withHostname(textAsIs(await host.readFile(step.from)), step.hostname));
    if (createHash('sha256').update(contents).digest('hex') !== step.sha256)
      throw new MigrateError('busy', `${step.from} has changed since the plan was made: run migrate again`);
    return contents;
  },
  0o600,
);

const writePlan = newFile<StepOf<'write-plan'>>(
  (step) => `write the plan for stage 2 to ${step.path}`,
  async (_step, { plan }) => new TextEncoder().encode(serializePlan(plan)),
  0o600,
);

const writeSecret = newFile<StepOf<'write-secret'>>(
  (step) => `write the address of the log server to ${step.path}`,
  async (step, { secrets }) => {
    const secret = secrets?.[step.secret];
    if (secret === undefined) throw new Error(`the ${step.secret} is not known`);
    return new TextEncoder().encode(secret.reveal());
  },
  0o600,
);

const buildInitramfsStep = newFile<StepOf<'build-initramfs'>>(
  (step) => `build the stage-2 initramfs ${step.path} with ${step.modules.length} kernel modules`,
  (step, { host, plan }) =>
    buildInitramfs({
      host,
      modules: step.modules,
      busybox: step.busybox,
      init: step.init,
      ...(step.network === undefined ? {} : { network: step.network }),
      settings: { ...step.settings, planId: plan.id },
    }),
  0o600,
);

const packPayload: UndoableHandler<StepOf<'pack-payload'>> = {
  describe: (step) => `pack ${step.files.length} files of stage 2 for the lifeboat`,
  prepare: async (step, { host }) => {
    await refuseExisting(host, step.path);
    return null;
  },
  apply: (step, { host }) => packFiles(host, step.files, step.path),
  undo: (step, _saved, { host }) => host.removeFile(step.path),
};

const writeFile: UndoableHandler<StepOf<'write-file'>> = {
  describe: (step) => `write ${step.path}`,
  prepare: (step, { host }) => saveFile(host, step.path),
  apply: (step, { host }) => host.writeDurable(step.path, Buffer.from(step.text, step.encoding), { mode: step.mode }),
  undo: (step, saved, { host }) => restoreFile(host, step.path, saved),
};

export const fileSteps: Pick<StepHandlers, FileStepKind> = {
  'make-directory': makeDirectory,
  'copy-files': copyFiles,
  'write-config-json': writeConfigJson,
  'write-plan': writePlan,
  'write-secret': writeSecret,
  'build-initramfs': buildInitramfsStep,
  'pack-payload': packPayload,
  'write-file': writeFile,
};

/** A step that writes a file which is not there yet; its undo removes it. */
export function newFile<S extends Step & { readonly path: string }>(
  describe: (step: S) => string,
  contents: (step: S, context: StepContext) => Promise<Uint8Array>,
  mode: number,
): UndoableHandler<S> {
  return {
    describe,
    prepare: async (step, { host }) => {
      await refuseExisting(host, step.path);
      return null;
    },
    apply: async (step, context) => context.host.writeDurable(step.path, await contents(step, context), { mode }),
    undo: (step, _saved, { host }) => host.removeFile(step.path),
  };
}

/** A file that is there belongs to someone else. */
export async function refuseExisting(host: Host, path: string): Promise<void> {
  if ((await host.linkStatus(path)) !== undefined) {
    throw new MigrateError('busy', `${path} exists already and is not ours to overwrite`);
  }
}

/** Contents and attributes of a file as undo needs them; null where there is none. */
export async function saveFile(host: Host, path: string): Promise<Saved> {
  const status = await host.linkStatus(path);
  if (status === undefined) return null;
  if (status.kind !== 'file') throw new MigrateError('busy', `${path} is not a regular file`);
  const { mode, uid, gid, modifiedMs } = status;
  return { contents: Buffer.from(await host.readFile(path)).toString('base64'), mode, uid, gid, modifiedMs };
}

/** Puts back what `saveFile` saved. */
export async function restoreFile(host: Host, path: string, saved: Saved): Promise<void> {
  if (saved === null) return host.removeFile(path);
  const { contents, attributes } = savedFile(path, saved);
  await host.writeDurable(path, contents, attributes);
}

/** Types a saved file that was read back from the journal. */
export function savedFile(path: string, saved: Saved): { contents: Uint8Array; attributes: Required<FileAttributes> } {
  const { contents, mode, uid, gid, modifiedMs } = (saved ?? {}) as Partial<Record<string, unknown>>;
  if (
    typeof contents !== 'string' ||
    typeof mode !== 'number' ||
    typeof uid !== 'number' ||
    typeof gid !== 'number' ||
    typeof modifiedMs !== 'number'
  ) {
    throw new MigrateError('undo-failed', `the journal's record of ${path} is damaged`);
  }
  return { contents: Buffer.from(contents, 'base64'), attributes: { mode, uid, gid, modifiedMs } };
}

function existed(saved: Saved): boolean {
  return typeof saved === 'object' && saved !== null && 'existed' in saved && saved.existed === true;
}

function mebibytes(files: readonly { readonly sizeBytes: number }[]): number {
  return Math.round(files.reduce((sum, file) => sum + file.sizeBytes, 0) / 1024 / 1024);
}
