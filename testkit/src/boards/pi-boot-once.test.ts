// What becomes of a board when its power is cut anywhere while it is armed: the old system, or stage 2, never neither.

import { stepHandlers } from '@migrate/cli-migrate';
import { execute, type Facts, type Plan, readJournal, type Step, type StepContext, undoJournal } from '@migrate/core';
import { piFirmware } from '@migrate/device-rpi';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type BootFiles, type FirmwareStart, startPi } from './pi-firmware.ts';
import { type PiMachine, piBoard, piFacts, piMachine, piNames } from './pi-machine.ts';

const journalPath = '/var/lib/journal.json';
const added = ['rdinit=/migrate/init', 'rootfstype=ramfs', 'panic=10'];

/** What runs after a start: stage 2, the old system, or nothing that would come back. */
function runs(start: FirmwareStart, old: FirmwareStart): 'stage 2' | 'old system' | string {
  if (start.kind === 'hangs' || old.kind === 'hangs') return start.kind === 'hangs' ? start.why : 'the old one hangs';
  if (start.kernel !== old.kernel || start.is64Bit !== old.is64Bit) return 'another kernel';
  if (start.deviceTree !== old.deviceTree || start.overlays.join() !== old.overlays.join())
    return 'another board setup';
  const words = start.commandLine.split(' ');
  const isOurs = start.initramfs.some((name) => name.endsWith('balena-migrate/stage2.img'));
  if (isOurs)
    return words.includes('rdinit=/migrate/init') && start.initramfs.length === 1 ? 'stage 2' : 'half of stage 2';
  const root = (commandLine: string): string | undefined =>
    commandLine.split(' ').findLast((word) => word.startsWith('root='));
  if (root(start.commandLine) !== root(old.commandLine)) return 'no root';
  // Without /migrate/init the kernel mounts root= itself, if it can.
  const sameInitramfs = start.initramfs.join() === old.initramfs.join();
  return sameInitramfs || /root=(\/dev\/|PARTUUID=)/.test(start.commandLine) ? 'old system' : 'no way to its root';
}

function contextOf(machine: PiMachine, extra: Partial<StepContext> = {}): StepContext {
  const plan = { id: 'plan', toolVersion: '0', payloadFileSystem: { uuid: 'u', type: 'ext4' } } as Plan;
  return { host: machine.host, plan, emit: () => {}, log: () => new Uint8Array(), ...extra };
}

function stepsFor(facts: Facts): readonly Step[] {
  const directory = piFirmware.bootDirectory(facts);
  return [
    { kind: 'make-directory', id: 'make', path: directory, mode: 0o700 },
    // Stands for build-initramfs, which needs a kernel's modules.
    { kind: 'write-file', id: 'initramfs', path: `${directory}/stage2.img`, text: 'initramfs', mode: 0o600 },
    ...piFirmware.bootOnce(
      { entryId: 'x', kernelPath: '', initramfsPath: `${directory}/stage2.img`, commandLine: added },
      facts,
    ),
  ];
}

async function armed(facts: Facts, onChange?: (machine: PiMachine) => void) {
  const machine = piMachine(facts, onChange);
  const before = machine.host.snapshot();
  const old = startPi(piBoard(facts), machine.bootFiles(), false);
  const context = contextOf(machine);
  const outcome = await execute({ steps: stepsFor(facts), handlers: stepHandlers, context, journalPath });
  expect(outcome).toEqual({ kind: 'done' });
  return { machine, before, old, context };
}

describe.each(piNames)('%s', (name) => {
  const facts = piFacts(name);
  const board = piBoard(facts);

  it('starts the old system before anything was done', () => {
    const start = startPi(board, piMachine(facts).bootFiles(), false);
    expect(start.kind === 'starts' && start.deviceTree).toBeTruthy();
    expect(runs(start, start)).toBe('old system');
  });

  it('starts stage 2 once, then the old system', async () => {
    const { machine, old } = await armed(facts);
    expect(runs(startPi(board, machine.bootFiles(), machine.takeFlag()), old)).toBe('stage 2');
    if (!board.knowsTryboot) await restoreByInit(facts, machine);
    expect(runs(startPi(board, machine.bootFiles(), machine.takeFlag()), old)).toBe('old system');
    const again = startPi(board, machine.bootFiles(), false);
    expect(again).toEqual(old);
  });

  it('comes back whichever writes were made when the power was cut, also while it is undone', async () => {
    const states: { files: BootFiles; flag: boolean }[] = [];
    const look = (machine: PiMachine): void => {
      // A power cut may lose the flag, too.
      for (const flag of [false, machine.isFlagSet()]) states.push({ files: machine.bootFiles(), flag });
    };
    const { machine, before, old, context } = await armed(facts, look);
    look(machine);
    const journal = await readJournal(machine.host, journalPath);
    if (journal === undefined) throw new Error('there is no journal');
    await undoJournal(journal, { context, handlers: stepHandlers, journalPath });
    look(machine);
    const seen = states.map(({ files, flag }) => runs(startPi(board, files, flag), old));
    expect(new Set(seen)).toEqual(new Set(['old system', 'stage 2']));
    expect(machine.host.snapshot()).toEqual(before);
  });

  it('starts the old system while new files are torn and nothing is switched', async () => {
    const { machine, old } = await armed(facts);
    const original = piMachine(facts).bootFiles();
    const complete = machine.bootFiles();
    const names = [...complete.keys()].filter((file) => !original.has(file));
    expect(names.length).toBeGreaterThan(1);
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom(...names), fc.nat(2000))), (torn) => {
        const files = new Map(original);
        for (const [file, sizeBytes] of torn)
          files.set(file, (complete.get(file) ?? new Uint8Array()).subarray(0, sizeBytes));
        expect(startPi(board, files, false)).toEqual(old);
      }),
      { numRuns: 30 },
    );
  });

  it('switches by one sector or not at all', async () => {
    const { machine } = await armed(facts);
    const before = Buffer.from(piMachine(facts).bootFiles().get('config.txt') ?? []);
    const after = Buffer.from(machine.bootFiles().get('config.txt') ?? []);
    expect(after.length).toBe(before.length);
    const sectors = new Set(
      [...after.keys()].filter((at) => after[at] !== before[at]).map((at) => Math.floor(at / 512)),
    );
    expect(sectors.size).toBe(board.knowsTryboot ? 0 : 1);
  });

  it('starts the old system where stage 2 is armed but its initramfs cannot be read, without tryboot', async () => {
    const { machine, old } = await armed(facts);
    const files = new Map(machine.bootFiles());
    for (const file of [...files.keys()]) if (file.endsWith('stage2.img')) files.delete(file);
    expect(runs(startPi(board, files, false), old)).toBe('old system');
  });
});

/** What init does with boot-armed and boot-original, in the same steps as init.sh. */
async function restoreByInit(facts: Facts, machine: PiMachine): Promise<void> {
  const restore = piFirmware.restoreAtOnce?.(facts);
  if (restore === undefined) throw new Error('init has nothing to restore');
  const path = `${machine.directory}${restore.path}`;
  const bytes = Buffer.from(await machine.host.readFile(path));
  const [found, original] = [Buffer.from(restore.armed, 'base64'), Buffer.from(restore.original, 'base64')];
  expect(bytes.subarray(restore.offsetBytes, restore.offsetBytes + found.length).equals(found)).toBe(true);
  bytes.set(original, restore.offsetBytes);
  await machine.host.overwriteInPlace(path, bytes);
}
