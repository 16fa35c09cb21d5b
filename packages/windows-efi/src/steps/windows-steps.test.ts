import {
  execute,
  type Journal,
  loadOption,
  MigrateError,
  parseGrubEnvironment,
  parseLoadOption,
  readJournal,
  undoJournal,
} from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { createMemoryWindows, planFor } from '../memory-windows.ts';
import { findPayload } from './payload-partition.ts';

const machine = 'windows-11-pro-laptop-german';
const ownDisk = 'de110000-1111-4222-8333-000000000000';
/** As renumberDisks names the one that comes first. */
const foreignDisk = 'f0e1f0e1-0000-4000-8000-000000000000';
type Way = 'boot-manager' | undefined;

async function planOf(way: Way) {
  const { plan } = await planFor(machine, way);
  if (plan === undefined) throw new Error('there is a plan');
  return plan;
}

async function journalOf(windows: Awaited<ReturnType<typeof createMemoryWindows>>): Promise<Journal | undefined> {
  return readJournal(windows.host, '/state/journal.json');
}

async function writtenJournal(windows: Awaited<ReturnType<typeof createMemoryWindows>>): Promise<Journal> {
  const journal = await journalOf(windows);
  if (journal === undefined) throw new Error('there is a journal');
  return journal;
}

describe.each<[string, Way]>([
  ['BootNext', undefined],
  ["GRUB in place of Windows' boot manager", 'boot-manager'],
])('stage 1 on Windows, by %s', (_, way) => {
  it('is taken back whichever operation fails', async () => {
    const plan = await planOf(way);
    for (let failing = 1; ; failing += 1) {
      let count = 0;
      const windows = await createMemoryWindows(machine, {
        onOperation: (operation) => {
          count += 1;
          if (count === failing) throw new MigrateError('command-failed', `${operation} fails`);
        },
      });
      const before = windows.snapshot();
      const outcome = await execute(windows.execution(plan));
      if (outcome.kind === 'done') {
        expect(failing).toBeGreaterThan(6);
        return;
      }
      expect([failing, outcome.kind]).toEqual([failing, 'undone']);
      expect(windows.snapshot()).toBe(before);
      expect(await journalOf(windows)).toBeUndefined();
    }
  });

  it('is taken back by undo wherever the machine is cut off', async () => {
    const plan = await planOf(way);
    for (let last = 1; ; last += 1) {
      let count = 0;
      let isOff = true;
      const windows = await createMemoryWindows(machine, {
        onOperation: () => {
          count += 1;
          if (isOff && count > last) throw new MigrateError('command-failed', 'the power is cut');
        },
      });
      const before = windows.snapshot();
      const run = windows.execution(plan);
      const outcome = await execute(run);
      isOff = false;
      const journal = await journalOf(windows);
      if (journal !== undefined) await undoJournal(journal, run);
      expect([last, windows.snapshot()]).toEqual([last, before]);
      if (outcome.kind === 'done') return;
    }
  });
});

describe.each<[string, Way]>([
  ['BootNext', undefined],
  ["GRUB in place of Windows' boot manager", 'boot-manager'],
])('where disks have other numbers after a restart, by %s', (_, way) => {
  it('is taken back from the disk that it was made on', async () => {
    const plan = await planOf(way);
    const windows = await createMemoryWindows(machine);
    const before = windows.partitionsOf(ownDisk);
    const run = windows.execution(plan);
    await execute(run);
    windows.renumberDisks();
    const others = windows.partitionsOf(foreignDisk);
    expect(JSON.parse(others)).toHaveLength(JSON.parse(before).length + 1);
    await undoJournal(await writtenJournal(windows), run);
    expect(windows.partitionsOf(ownDisk)).toBe(before);
    expect(windows.partitionsOf(foreignDisk)).toBe(others);
  });
});

describe('set-uefi-boot-next', () => {
  it('names the loader on the payload partition, and leaves the order alone', async () => {
    const plan = await planOf(undefined);
    const windows = await createMemoryWindows(machine);
    await execute(windows.execution(plan));
    const bytes = Buffer.from(windows.variables.get('Boot0001') ?? '', 'hex');
    expect(parseLoadOption(1, bytes)).toEqual({
      number: 1,
      description: 'balenaOS',
      isActive: true,
      partitionUuid: '0badcafe-0000-4000-8000-000000000001',
      filePath: '\\EFI\\balena-migrate\\grubx64.efi',
    });
    expect(windows.variables.get('BootNext')).toBe('0100');
    expect(windows.variables.get('BootOrder')).toBe('0000');
  });

  it('takes the entry of an earlier balenaOS, and gives it back', async () => {
    const plan = await planOf(undefined);
    const windows = await createMemoryWindows(machine);
    const partition = { number: 1, startLba: 1, sectors: 1, uuid: '11111111-2222-4333-8444-555555555555' };
    const old = Buffer.from(loadOption({ description: 'balenaOS', filePath: '\\old.efi', partition })).toString('hex');
    windows.variables.set('Boot0001', '0100000004004f0000007fff0400');
    windows.variables.set('Boot0002', old);
    windows.variables.set('BootNext', '0000');
    const before = windows.snapshot();
    const run = windows.execution(plan);
    await execute(run);
    expect(windows.variables.get('BootNext')).toBe('0200');
    const journal = await journalOf(windows);
    if (journal !== undefined) await undoJournal(journal, run);
    expect(windows.snapshot()).toBe(before);
  });

  it('fails where the firmware drops what it is given', async () => {
    const plan = await planOf(undefined);
    const windows = await createMemoryWindows(machine, {
      onOperation: (operation, { name }) => {
        if (operation === 'read-firmware-variable' && name === 'BootNext') windows.variables.delete('BootNext');
      },
    });
    const before = windows.snapshot();
    expect(await execute(windows.execution(plan))).toMatchObject({
      kind: 'undone',
      cause: { code: 'verify-mismatch', message: 'the firmware did not keep the variable BootNext' },
    });
    expect(windows.snapshot()).toBe(before);
  });
});

describe('replace-windows-boot-manager', () => {
  it('keeps the original beside GRUB, whose menu and variable start stage 2 once', async () => {
    const plan = await planOf('boot-manager');
    const { host, execution } = await createMemoryWindows(machine);
    await execute(execution(plan));
    const directory = '/esp/EFI/Microsoft/Boot';
    expect(await host.readText(`${directory}/bootmgfw.efi`)).toContain('ELF of /migrate/boot/grubx64.efi');
    expect(await host.readText(`${directory}/bootmgfw.migrate-original.efi`)).toBe('what starts Windows');
    const environment = (await host.readText('/esp/EFI/balena-migrate/grubenv')) ?? '';
    expect(environment).toHaveLength(1024);
    expect([...parseGrubEnvironment(environment, 'grubenv')]).toEqual([
      ['next_entry', `balena-migrate-${'a'.repeat(12)}`],
    ]);
    await expect(await host.readText('/esp/EFI/balena-migrate/grub.cfg')).toMatchInlineSnapshot(`
      "# Made by migrate; removed by "migrate undo".
      insmod all_video
      set esp=$root
      load_env -f ($esp)/EFI/balena-migrate/grubenv next_entry
      if [ "$next_entry" = 'balena-migrate-aaaaaaaaaaaa' ]; then
        set next_entry=
        if save_env -f ($esp)/EFI/balena-migrate/grubenv next_entry; then
          if search --no-floppy --fs-uuid --set=root ABCD-1234; then
            if linux '/balena-migrate/boot/vmlinuz' 'rdinit=/migrate/init' 'rootfstype=ramfs' 'panic=10'; then
              if initrd '/balena-migrate/boot/stage2.img'; then
                boot
              fi
            fi
          fi
        fi
      fi
      set root=$esp
      chainloader ($esp)/EFI/Microsoft/Boot/bootmgfw.migrate-original.efi
      boot
      "
    `);
    expect(plan.stage2[0]).toMatchObject({ kind: 'confirm-grub-variable-cleared', fileSystemUuid: '1A2B-3C4D' });
  });

  it('does not begin where files of an earlier one are left', async () => {
    const plan = await planOf('boot-manager');
    const windows = await createMemoryWindows(machine);
    await windows.host.makeDirectory('/esp/EFI/balena-migrate', 0o700);
    expect(await execute(windows.execution(plan))).toMatchObject({ kind: 'undone', cause: { code: 'busy' } });
  });
});

describe('the system partition', () => {
  it('keeps the drive letter that it had', async () => {
    const plan = await planOf('boot-manager');
    const windows = await createMemoryWindows(machine);
    windows.espHasLetter = true;
    const run = windows.execution(plan);
    expect(await execute(run)).toEqual({ kind: 'done' });
    await undoJournal(await writtenJournal(windows), run);
    expect(windows.espHasLetter).toBe(true);
  });

  it('has none afterwards where it had none, and may keep that of a run that was cut', async () => {
    const plan = await planOf('boot-manager');
    let isCut = false;
    const windows = await createMemoryWindows(machine, {
      onOperation: (operation) => {
        if (isCut && operation === 'unmount-esp') throw new MigrateError('command-failed', 'the power is cut');
      },
    });
    const before = windows.snapshot();
    const run = windows.execution(plan);
    expect(await execute(run)).toEqual({ kind: 'done' });
    expect(windows.espHasLetter).toBe(false);
    isCut = true;
    await expect(undoJournal(await writtenJournal(windows), run)).rejects.toThrow('unmount-esp');
    isCut = false;
    await undoJournal(await writtenJournal(windows), run);
    expect(windows.snapshot()).toBe(before);
    expect(windows.espHasLetter).toBe(true);
  });
});

describe('the payload partition', () => {
  it('is found again by the GUID of its disk, and not where two disks have that', async () => {
    const plan = await planOf(undefined);
    const windows = await createMemoryWindows(machine);
    await execute(windows.execution(plan));
    const place = plan.stage1.find((step) => step.kind === 'create-payload-partition')?.place;
    if (place === undefined) throw new Error('there is one');
    windows.renumberDisks();
    // As another process asks.
    const { run } = windows.host;
    expect(await findPayload({ run }, place)).toMatchObject({ uuid: 'ABCD-1234' });
    await expect(findPayload({ run }, { ...place, diskGuid: foreignDisk })).rejects.toMatchObject({
      code: 'not-found',
    });
  });

  it('is not taken for one that someone else has made in its place', async () => {
    const plan = await planOf(undefined);
    const windows = await createMemoryWindows(machine);
    const run = windows.execution(plan);
    await execute(run);
    windows.replaceNewest();
    const foreign = windows.partitionsOf(ownDisk);
    await expect(undoJournal(await writtenJournal(windows), run)).rejects.toThrow('it is not ours');
    expect(windows.partitionsOf(ownDisk)).toBe(foreign);
    // Still known, for whoever looks at it and runs undo again.
    expect((await writtenJournal(windows)).entries.map(({ step }) => step.kind)).toContain('create-payload-partition');
  });

  it('gets every file below its own path, and init the UUID of its file system', async () => {
    const plan = await planOf(undefined);
    const { host, execution } = await createMemoryWindows(machine);
    await execute(execution(plan));
    const written = [...host.nodes.keys()].filter(
      (path) => path.startsWith('/volume/') && host.nodes.get(path)?.kind === 'file',
    );
    expect(written.sort()).toMatchInlineSnapshot(`
      [
        "/volume/EFI/balena-migrate/grub.cfg",
        "/volume/EFI/balena-migrate/grubx64.efi",
        "/volume/System Volume Information",
        "/volume/balena-migrate/boot/stage2.img",
        "/volume/balena-migrate/boot/vmlinuz",
        "/volume/balena-migrate/lifeboat/BOOTX64.EFI",
        "/volume/balena-migrate/lifeboat/payload.img",
        "/volume/balena-migrate/lifeboat/seal.json",
        "/volume/balena-migrate/lifeboat/volume.img",
        "/volume/balena-migrate/payload/app/init",
        "/volume/balena-migrate/payload/app/stage2.js",
        "/volume/balena-migrate/payload/files/config.json",
        "/volume/balena-migrate/payload/files/image",
        "/volume/balena-migrate/payload/files/migrated-connection-0",
        "/volume/balena-migrate/payload/files/migrated-connection-1",
        "/volume/balena-migrate/payload/plan.json",
        "/volume/balena-migrate/payload/runtime/busybox",
        "/volume/balena-migrate/payload/runtime/lib/libc.so.6",
        "/volume/balena-migrate/payload/runtime/node",
      ]
    `);
    const keyfile = await host.readText('/volume/balena-migrate/payload/files/migrated-connection-0');
    expect(keyfile).toContain('psk=geheim-und-lang');
  });

  it('is removed also where it was cut off before it had a file system', async () => {
    const plan = await planOf(undefined);
    const windows = await createMemoryWindows(machine, {
      onOperation: (operation) => {
        if (operation === 'read-disks') windows.unformat();
      },
    });
    const before = windows.snapshot();
    expect(await execute(windows.execution(plan))).toMatchObject({ kind: 'undone', cause: { code: 'not-found' } });
    expect(windows.snapshot()).toBe(before);
  });

  it('is told from another one at its place by its label', async () => {
    const plan = await planOf(undefined);
    const windows = await createMemoryWindows(machine, {
      onOperation: (operation, args) => {
        if (operation === 'create-partition') (args as { label: string }).label = 'OTHER';
      },
    });
    const outcome = await execute(windows.execution(plan));
    expect(outcome).toMatchObject({ kind: 'undo-failed', cause: { code: 'not-found' } });
  });
});
