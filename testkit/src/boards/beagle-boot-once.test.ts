// What becomes of a board when its power is cut anywhere while it is armed: the old system, or stage 2 once, never neither.
import { stepHandlers } from '@migrate/cli-migrate';
import { readJournal, undoJournal } from '@migrate/core';
import { beagleUboot } from '@migrate/device-beagle';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { armed, boardFor, journalPath, meaningOf, starts } from './beagle-arming.ts';
import { type BeagleMachine, beagleFacts, beagleMachine, beagleNames } from './beagle-in-memory.ts';
import { runUboot } from './beagle-u-boot.ts';
import type { BeagleState } from './u-boot-commands.ts';

describe.each(beagleNames)('%s', (name) => {
  const facts = beagleFacts(name);

  it('starts the old system before anything was done', () => {
    const { outcome } = runUboot(beagleMachine(facts).state(), boardFor(facts));
    expect(outcome.kind).toBe('starts');
    expect(meaningOf(outcome, outcome)).toBe('old system');
  });

  it('starts stage 2 once, then the old system, also where nobody undoes it', async () => {
    const { machine, old } = await armed(facts);
    expect(starts(facts, machine.state(), old)).toEqual(['stage 2', 'old system']);
  });

  it('lets stage 2 see that the flag is spent, and not while it is set', async () => {
    const { machine, context } = await armed(facts);
    const confirm = beagleUboot.restoreBoot(facts)[0];
    if (confirm?.kind !== 'confirm-uboot-flag-cleared') throw new Error('stage 2 does not look at the flag');
    // Stage 2 mounts the FAT elsewhere; the fake has only one tree of names.
    const { flag } = confirm;
    const target = facts.mounts.find(({ fileSystem }) => fileSystem === 'vfat')?.target ?? '';
    const inStage2 = { ...context, ramDirectory: '/ram' };
    const step =
      flag.place === 'gap' ? confirm : { ...confirm, flag: { ...flag, path: `/../..${target}${flag.path}` } };
    const handler = stepHandlers['confirm-uboot-flag-cleared'];
    await machine.host.makeDirectory('/ram', 0o700);
    await expect(handler.apply(step, inStage2)).rejects.toThrow(/did not clear/);
    machine.restart(runUboot(machine.state(), boardFor(facts)).state);
    await handler.apply(step, inStage2);
  });

  it('comes back whichever writes were made when the power was cut, also while it is undone', async () => {
    const states: BeagleState[] = [];
    const look = (machine: BeagleMachine): void => {
      states.push(machine.state());
    };
    const before = beagleMachine(facts).host.snapshot();
    const { machine, old, context } = await armed(facts, look);
    look(machine);
    const journal = await readJournal(machine.host, journalPath);
    if (journal === undefined) throw new Error('there is no journal');
    await undoJournal(journal, { context, handlers: stepHandlers, journalPath });
    look(machine);
    const seen = states.map((state) => starts(facts, state, old));
    expect(new Set(seen.map(([first]) => first))).toEqual(new Set(['old system', 'stage 2']));
    expect(new Set(seen.map(([, second]) => second))).toEqual(new Set(['old system']));
    expect(machine.host.snapshot()).toEqual(before);
  });

  it('is undone to the byte after a stage 2 that failed', async () => {
    const before = beagleMachine(facts).host.snapshot();
    const { machine, context } = await armed(facts);
    machine.restart(runUboot(machine.state(), boardFor(facts)).state);
    const journal = await readJournal(machine.host, journalPath);
    if (journal === undefined) throw new Error('there is no journal');
    await undoJournal(journal, { context, handlers: stepHandlers, journalPath });
    expect(machine.host.snapshot()).toEqual(before);
  });

  it('comes back where any of its new files is torn or lost, armed or not', async () => {
    const { machine, old } = await armed(facts);
    const complete = machine.state();
    const original = beagleMachine(facts).state();
    const [number = 0] = complete.media.keys();
    const names = [...(complete.media.get(number)?.partitions ?? [])].flatMap(([index, files]) =>
      [...files.keys()]
        .filter((file) => original.media.get(number)?.partitions.get(index)?.has(file) === false)
        .filter((file) => !file.startsWith('/var/'))
        .map((file) => [index, file] as const),
    );
    expect(names.length).toBeGreaterThan(1);
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom(...names), fc.option(fc.nat(2000))), { minLength: 1 }),
        fc.boolean(),
        (torn, hasFlag) => {
          const state = changed(hasFlag ? complete : withGapOf(complete, original), number, torn);
          const [first, second] = starts(facts, state, old);
          expect(['old system', 'stage 2', 'half of stage 2']).toContain(first);
          expect(second).toBe('old system');
        },
      ),
      { numRuns: 60 },
    );
  });

  it('changes its files on FAT by one sector or adds to them', async () => {
    const { machine } = await armed(facts);
    const fat = facts.mounts.find(({ fileSystem }) => fileSystem === 'vfat')?.target;
    const original = beagleMachine(facts);
    for (const [path, node] of original.host.nodes) {
      if (node.kind !== 'file' || fat === undefined || !path.startsWith(`${fat}/`)) continue;
      const after = await machine.host.readFile(path);
      expect(after.length, path).toBe(node.contents.length);
      const differing = [...after.keys()].filter((at) => after[at] !== node.contents[at]);
      expect(new Set(differing.map((at) => Math.floor(at / 512))).size, path).toBeLessThanOrEqual(1);
    }
  });
});

function withGapOf(state: BeagleState, other: BeagleState): BeagleState {
  const media = [...state.media].map(
    ([number, medium]) => [number, { ...medium, gap: other.media.get(number)?.gap ?? medium.gap }] as const,
  );
  return { media: new Map(media) };
}

/** Cuts files, or removes them where no size is given. */
function changed(
  state: BeagleState,
  number: number,
  torn: readonly (readonly [readonly [number, string], number | null])[],
): BeagleState {
  const medium = state.media.get(number);
  if (medium === undefined) return state;
  const partitions = new Map([...medium.partitions].map(([index, files]) => [index, new Map(files)]));
  for (const [[index, file], sizeBytes] of torn) {
    const files = partitions.get(index);
    const bytes = files?.get(file);
    if (sizeBytes === null) files?.delete(file);
    else if (bytes !== undefined) files?.set(file, bytes.subarray(0, sizeBytes));
  }
  return { media: new Map([...state.media, [number, { ...medium, partitions }]]) };
}
