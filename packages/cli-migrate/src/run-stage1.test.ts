import {
  createMemoryHost,
  efivarsDirectory,
  globalVariableGuid,
  identifyPlan,
  type Journal,
  journalName,
  loadOption,
  MigrateError,
  type Plan,
  planVersion,
  serializePlan,
  stateDirectory,
  uint16Bytes,
} from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { linuxPlatform } from './linux-platform.ts';
import { undoStage1 } from './run-stage1.ts';

const bootIdFile = { '/proc/sys/kernel/random/boot_id': 'boot-1\n', '/var/lib/dpkg/status': '' };
const lock = JSON.stringify({ pid: 42, bootId: 'boot-1', since: '2026-01-01T00:00:00Z' });

describe('undo without a journal', () => {
  it('removes what a run left that was killed before its first step', async () => {
    const before = createMemoryHost({ files: bootIdFile }).snapshot();
    const host = createMemoryHost({ files: { ...bootIdFile, [`${stateDirectory}/lock`]: lock } });
    expect(await undoStage1(linuxPlatform(host), () => {})).toBe(false);
    expect(host.snapshot()).toEqual(before);
  });

  it('leaves a run alone that is at work', async () => {
    const files = { ...bootIdFile, [`${stateDirectory}/lock`]: lock, '/proc/42/status': '' };
    const host = createMemoryHost({ files });
    await expect(undoStage1(linuxPlatform(host), () => {})).rejects.toThrow(/process 42/);
    expect(await host.readText(`${stateDirectory}/lock`)).toBe(lock);
  });

  it('changes nothing where there was no run', async () => {
    const host = createMemoryHost({
      files: bootIdFile,
      onChange: (change) => {
        throw new Error(change);
      },
    });
    expect(await undoStage1(linuxPlatform(host), () => {})).toBe(false);
  });
});

describe('undo behind a stage 2 that was cut before the point of no return', () => {
  const planPath = `${stateDirectory}/payload/plan.json`;
  const [systemGuid, lifeboatGuid, foreignGuid] = ['1', '2', '3'].map(
    (digit) => `${digit.repeat(8)}-89ab-4def-8123-456789abcdef`,
  );
  const way = { kind: 'gpt', diskGuid: '', partitionGuid: lifeboatGuid };
  const entryOf = (id: string, description: string, partitionLabel?: string) => ({
    ...{ kind: 'set-uefi-boot-entry', id, description, filePath: '\\EFI\\BOOT\\BOOTX64.EFI' },
    ...(partitionLabel === undefined ? {} : { partitionLabel }),
  });
  const stage2 = [
    entryOf('set-lifeboat-boot-entry', 'lifeboat'),
    entryOf('set-uefi-boot-entry', 'balenaOS', 'resin-boot'),
  ];
  const image = { labels: { 'resin-boot': 0 }, table: { kind: 'gpt', id: '', partitions: [{ uuid: systemGuid }] } };
  const early = { stage1: [{ kind: 'make-lifeboat', id: 'make-lifeboat', way }], stage2 };
  const late = { stage1: [], stage2: [{ kind: 'find-lifeboat-place', id: 'find-lifeboat-place', way }, ...stage2] };
  const planOf = (steps: object): Plan => identifyPlan({ version: planVersion, image, ...steps } as unknown as Plan);

  const pathOf = (name: string): string => `${efivarsDirectory}/${name}-${globalVariableGuid}`;
  const variable = (data: Uint8Array): Uint8Array => Uint8Array.from([7, 0, 0, 0, ...data]);
  const option = (description: string, uuid = ''): Uint8Array =>
    variable(loadOption({ description, filePath: '\\a.efi', partition: { number: 1, startLba: 1, sectors: 1, uuid } }));
  const old = {
    [pathOf('BootOrder')]: variable(uint16Bytes([1])),
    [pathOf('Boot0001')]: option('debian', foreignGuid),
  };
  const ours = {
    ...old,
    [pathOf('BootOrder')]: variable(uint16Bytes([3, 0, 1])),
    [pathOf('Boot0000')]: option('lifeboat', lifeboatGuid),
    [pathOf('Boot0003')]: option('balenaOS', systemGuid),
  };

  interface Case {
    readonly variables: Readonly<Record<string, Uint8Array>>;
    readonly plan?: Plan;
    readonly planText?: string;
    readonly bootId?: string;
    readonly onChange?: (change: string) => void;
  }

  /** Undoes a run of this plan and gives the firmware variables then, with what was said. */
  async function undone({ variables, plan = planOf(early), planText, bootId = 'boot-0', onChange }: Case) {
    const step = { kind: 'write-plan', id: 'write-plan', path: planPath } as const;
    const journal: Journal = {
      ...{ version: 1, planId: plan.id, toolVersion: '', bootId, startedAt: '', phase: 'complete' },
      entries: [{ step, saved: null, state: 'done' }],
    };
    const host = createMemoryHost({
      files: {
        ...bootIdFile,
        ...variables,
        [`${stateDirectory}/${journalName}`]: JSON.stringify(journal),
        ...(planText === '' ? {} : { [planPath]: planText ?? serializePlan(plan) }),
      },
      ...(onChange === undefined ? {} : { onChange }),
    });
    const notes: string[] = [];
    const wasThere = await undoStage1(linuxPlatform(host), (event) => {
      if (event.kind === 'note') notes.push(`${event.level}: ${event.text}`);
    });
    expect(wasThere).toBe(true);
    expect(await host.status(`${stateDirectory}/${journalName}`)).toBeUndefined();
    expect(await host.status(planPath)).toBeUndefined();
    const firmware = host.snapshot().filter((line) => line.includes(`${efivarsDirectory}/B`));
    return { firmware, notes };
  }

  const firmwareOf = (variables: Case['variables']): readonly string[] =>
    createMemoryHost({ files: { ...bootIdFile, ...variables } })
      .snapshot()
      .filter((line) => line.includes(`${efivarsDirectory}/B`));

  it.each([
    ['a lifeboat of stage 1', early],
    ['a lifeboat that stage 2 makes', late],
  ])('removes the boot entries that it left, with %s', async (_, steps) => {
    const { firmware, notes } = await undone({ variables: ours, plan: planOf(steps) });
    expect(firmware).toEqual(firmwareOf(old));
    expect(notes).toEqual([expect.stringMatching(/^info: .*"lifeboat"/), expect.stringMatching(/^info: .*"balenaOS"/)]);
  });

  it('leaves no boot order where there was none', async () => {
    const { [pathOf('BootOrder')]: _, [pathOf('Boot0001')]: __, ...entries } = ours;
    const variables = { ...entries, [pathOf('BootOrder')]: variable(uint16Bytes([3, 0])) };
    expect((await undone({ variables })).firmware).toEqual([]);
  });

  it('leaves entries of the same name that lead elsewhere', async () => {
    const variables = {
      ...old,
      [pathOf('BootOrder')]: variable(uint16Bytes([5, 1, 4])),
      [pathOf('Boot0004')]: option('lifeboat', foreignGuid),
      [pathOf('Boot0005')]: option('balenaOS', foreignGuid),
    };
    expect(await undone({ variables })).toEqual({ firmware: firmwareOf(variables), notes: [] });
  });

  it('removes ours beside one of the same name that leads elsewhere', async () => {
    const foreign = { [pathOf('Boot0002')]: option('balenaOS', foreignGuid) };
    const { firmware } = await undone({
      variables: { ...ours, ...foreign, [pathOf('BootOrder')]: variable(uint16Bytes([3, 2, 0, 1])) },
    });
    expect(firmware).toEqual(firmwareOf({ ...old, ...foreign, [pathOf('BootOrder')]: variable(uint16Bytes([2, 1])) }));
  });

  it.each([
    ['stage 2 came to none of them', { variables: old }],
    ['the machine was not started again since, whatever its entries lead to', { variables: ours, bootId: 'boot-1' }],
    ['there are no variables, as with BIOS', { variables: {} }],
    ['the plan is missing', { variables: ours, planText: '' }],
  ])('changes no variable, and says nothing, where %s', async (_, given) => {
    expect(await undone(given)).toEqual({ firmware: firmwareOf(given.variables), notes: [] });
  });

  it.each([
    ['is no JSON', '{'],
    ['is no plan', 'null'],
    ['is that of another run', serializePlan(planOf(late))],
    ['was changed', serializePlan({ ...planOf(early), stage2: [] })],
  ])('changes no variable, and says so, where the plan %s', async (_, planText) => {
    const { firmware, notes } = await undone({ variables: ours, planText });
    expect(firmware).toEqual(firmwareOf(ours));
    expect(notes).toEqual([expect.stringMatching(/^warn: .*boot entries/)]);
  });

  it('goes on with a warning for each that the firmware keeps', async () => {
    const { firmware, notes } = await undone({
      variables: ours,
      onChange: (change) => {
        if (change.includes('Boot0000')) throw new MigrateError('write-failed', 'the firmware refuses');
      },
    });
    expect(firmware).toEqual(firmwareOf({ ...old, [pathOf('Boot0000')]: option('lifeboat', lifeboatGuid) }));
    expect(notes).toEqual([
      expect.stringMatching(/^warn: .*"lifeboat".*the firmware refuses/),
      expect.stringMatching(/^info: .*"balenaOS"/),
    ]);
  });
});
