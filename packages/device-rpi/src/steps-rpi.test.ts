import { createMemoryHost, type MemoryHost, type Plan, type StepContext } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { rpiSteps } from './steps-rpi.ts';

const path = '/boot/config.txt';
const text = '# one comment\ndtparam=audio=on\n';
const base64 = (contents: string): string => Buffer.from(contents).toString('base64');
const change = { offsetBytes: 0, original: base64('# one comment\n'), armed: base64('# our change!\n') };
const arm = { kind: 'switch-rpi-config', id: 'arm', path, change } as const;
const tryboot = { kind: 'set-rpi-tryboot', id: 'arm', command: '/usr/bin/vcmailbox' } as const;

function contextOf(host: MemoryHost): StepContext {
  return { host, plan: {} as Plan, emit: () => {}, log: () => new Uint8Array(), ramDirectory: '/ram' };
}

function undoable<K extends 'switch-rpi-config' | 'set-rpi-tryboot'>(kind: K) {
  const handler = rpiSteps[kind];
  if (!('undo' in handler) || handler.undo === 'nothing-to-undo') throw new Error('arming must be undoable');
  return { ...handler, undo: handler.undo };
}

describe('switching config.txt', () => {
  async function switched() {
    const host = createMemoryHost({ files: { [path]: text } });
    const before = host.snapshot();
    const context = contextOf(host);
    const handler = undoable('switch-rpi-config');
    const saved = (await handler.prepare?.(arm, context)) ?? null;
    await handler.apply(arm, context);
    return { host, before, context, saved, handler };
  }

  it('changes the sector and takes it back to the byte', async () => {
    const { host, before, context, saved, handler } = await switched();
    expect(await host.readText(path)).toBe('# our change!\ndtparam=audio=on\n');
    await handler.undo(arm, saved, context);
    expect(host.snapshot()).toEqual(before);
    await handler.undo(arm, saved, context);
    expect(host.snapshot()).toEqual(before);
  });

  it('keeps what others wrote elsewhere, and says what to do where they wrote over it', async () => {
    const { host, context, saved, handler } = await switched();
    await host.writeDurable(path, Buffer.from('# our change!\ndtparam=i2c_arm=on\n'), { mode: 0o644 });
    await handler.undo(arm, saved, context);
    expect(await host.readText(path)).toBe('# one comment\ndtparam=i2c_arm=on\n');
    await host.writeDurable(path, Buffer.from('something else\n'), { mode: 0o644 });
    await expect(handler.undo(arm, saved, context)).rejects.toThrow(/changed by someone else/);
  });

  it('is not done on a file that has changed since planning', async () => {
    const host = createMemoryHost({ files: { [path]: 'dtparam=audio=off\n' } });
    await expect(undoable('switch-rpi-config').apply(arm, contextOf(host))).rejects.toThrow(/changed by someone else/);
    expect(await host.readText(path)).toBe('dtparam=audio=off\n');
  });
});

describe('restoring in stage 2', () => {
  const restore = { ...change, uuid: '5DE4-665C', fileSystem: 'vfat', path: '/config.txt' };
  const step = { kind: 'restore-rpi-config', id: 'restore', restore } as const;
  const restored = async (contents: string): Promise<string | undefined> => {
    const host = createMemoryHost({
      files: { '/ram/old-boot/config.txt': contents },
      run: async () => ({ stdout: '/dev/mmcblk0p1\n', stderr: '' }),
    });
    await rpiSteps['restore-rpi-config'].apply(step, contextOf(host));
    return host.readText('/ram/old-boot/config.txt');
  };

  it('puts back what is armed, accepts what is restored, and stops at anything else', async () => {
    expect(await restored('# our change!\ndtparam=audio=on\n')).toBe(text);
    expect(await restored(text)).toBe(text);
    await expect(restored('# neither one\n')).rejects.toThrow(/changed by someone else/);
  });
});

describe('tryboot', () => {
  /** A mailbox: `answer` is the code of the tag; without bit 31 the firmware does not know it. */
  function mailbox({ answer = 0x80000004, keeps = true }: { answer?: number; keeps?: boolean } = {}) {
    const asked: string[] = [];
    let flags = 0;
    const host = createMemoryHost({
      run: async (_command, args) => {
        asked.push(args.join(' '));
        if (args[0] === '0x00038064' && keeps) flags = Number(args[3]);
        const words = [0x1c, 0x80000000, Number(args[0]), 4, answer, flags, 0];
        return { stdout: words.map((word) => `0x${word.toString(16)}`).join(' '), stderr: '' };
      },
    });
    return { asked, flags: () => flags, context: contextOf(host) };
  }
  const handler = undoable('set-rpi-tryboot');

  it('sets the flag, reads it back, and clears it on undo', async () => {
    const box = mailbox();
    await handler.apply(tryboot, box.context);
    expect(box.asked).toEqual(['0x00038064 4 0 1', '0x00030064 4 0 0']);
    expect(box.flags()).toBe(1);
    await handler.undo(tryboot, null, box.context);
    expect(box.flags()).toBe(0);
  });

  it('fails on firmware that does not know it or does not keep it, with nothing to undo', async () => {
    for (const box of [mailbox({ answer: 0 }), mailbox({ keeps: false })]) {
      await expect(handler.apply(tryboot, box.context)).rejects.toThrow(/needs an update/);
      await handler.undo(tryboot, null, box.context);
    }
  });

  it('is confirmed in stage 2 by what the firmware tells', async () => {
    const property = '/proc/device-tree/chosen/bootloader/tryboot';
    const confirm = (files: Record<string, Uint8Array>) =>
      rpiSteps['confirm-rpi-tryboot'].apply(
        { kind: 'confirm-rpi-tryboot', id: 'c' },
        contextOf(createMemoryHost({ files })),
      );
    await confirm({ [property]: new Uint8Array([0, 0, 0, 1]) });
    await expect(confirm({ [property]: new Uint8Array(4) })).rejects.toThrow(/again and again/);
    await expect(confirm({})).rejects.toThrow(/again and again/);
  });
});
