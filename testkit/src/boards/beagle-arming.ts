// Arms a board in memory and tells what its U-Boot makes of that.
import { stepHandlers } from '@migrate/cli-migrate';
import { execute, type Facts, type Plan, type Step, type StepContext } from '@migrate/core';
import { beagleUboot, boardOf } from '@migrate/device-beagle';
import { expect } from 'vitest';
import { type BeagleMachine, beagleMachine, ubootAgeOf } from './beagle-in-memory.ts';
import { runUboot } from './beagle-u-boot.ts';
import type { BeagleState, UbootOutcome } from './u-boot-commands.ts';

export const journalPath = '/var/lib/journal.json';
const added = ['rdinit=/migrate/init', 'rootfstype=ramfs', 'panic=10'];
const initramfs = 'initramfs of stage 2';

function contextOf(machine: BeagleMachine, extra: Partial<StepContext> = {}): StepContext {
  const plan = { id: 'plan', toolVersion: '0', payloadFileSystem: { uuid: 'u', type: 'ext4' } } as Plan;
  return { host: machine.host, plan, emit: () => {}, log: () => new Uint8Array(), ...extra };
}

function stepsFor(facts: Facts): readonly Step[] {
  const directory = beagleUboot.bootDirectory(facts);
  return [
    { kind: 'make-directory', id: 'make', path: directory, mode: 0o700 },
    // Stands for build-initramfs, which needs a kernel's modules.
    { kind: 'write-file', id: 'initramfs', path: `${directory}/stage2.img`, text: initramfs, mode: 0o600 },
    ...beagleUboot.bootOnce(
      { entryId: 'x', kernelPath: '', initramfsPath: `${directory}/stage2.img`, commandLine: added },
      facts,
    ),
  ];
}

/** The board as its U-Boot sees it. */
export function boardFor(facts: Facts) {
  const deviceTree = boardOf(facts)?.deviceTrees[0] ?? '';
  return { age: ubootAgeOf(facts), deviceTree };
}

type Meaning = 'stage 2' | 'old system' | string;

/** What runs after a start: `old` is told from everything else by all that it starts with. */
export function meaningOf(outcome: UbootOutcome, old: UbootOutcome): Meaning {
  if (JSON.stringify(outcome) === JSON.stringify(old)) return 'old system';
  if (outcome.kind === 'stuck') return outcome.why;
  const isOurs = outcome.initramfs?.includes('/balena-migrate/stage2.img') === true;
  if (!isOurs || outcome.commandLine !== added.join(' ')) return `something else: ${JSON.stringify(outcome)}`;
  if (outcome.deviceTree.includes('overlays') || !outcome.deviceTree.endsWith('.dtb')) return 'another board setup';
  if (!outcome.kernel.includes('vmlinuz')) return 'another kernel';
  return outcome.initramfs?.includes(`(${initramfs.length} bytes)`) === true ? 'stage 2' : 'half of stage 2';
}

/** Starts until it is clear: what runs first, and what runs should that one restart the board. */
export function starts(facts: Facts, state: BeagleState, old: UbootOutcome): readonly [Meaning, Meaning] {
  const first = runUboot(state, boardFor(facts));
  const second = runUboot(first.state, boardFor(facts));
  return [meaningOf(first.outcome, old), meaningOf(second.outcome, old)];
}

/** Arms the board; `old` is what it started before. */
export async function armed(facts: Facts, onChange?: (machine: BeagleMachine) => void) {
  const machine = beagleMachine(facts, onChange);
  const old = runUboot(machine.state(), boardFor(facts)).outcome;
  const context = contextOf(machine);
  const outcome = await execute({ steps: stepsFor(facts), handlers: stepHandlers, context, journalPath });
  expect(outcome).toEqual({ kind: 'done' });
  return { machine, old, context };
}
