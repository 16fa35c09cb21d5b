// A board of fixtures/machines as a machine in memory: its boot partition, and a mailbox that keeps the tryboot flag.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createMemoryHost, type Facts, type MemoryHost } from '@migrate/core';
import { modelNamed } from '@migrate/device-rpi';
import type { BootFiles, PiBoard } from './pi-firmware.ts';

const machines = join(import.meta.dirname, '../../../fixtures/machines');

export const piNames: readonly string[] = readdirSync(machines).filter((name) => name.startsWith('pi-'));

export function piFacts(name: string): Facts {
  return JSON.parse(readFileSync(join(machines, name, 'facts.json'), 'utf8')) as Facts;
}

/** The board with the firmware that the facts tell of. */
export function piBoard(facts: Facts): PiBoard {
  const model = modelNamed(facts.hardware.deviceTreeModel);
  if (model === undefined) throw new Error(`${facts.hardware.deviceTreeModel} is not in the table`);
  const knowsTryboot = facts.bootFiles.some(({ path }) => path.endsWith('/bootloader/tryboot'));
  return {
    model,
    knowsTryboot,
    lineLimitBytes: knowsTryboot ? 98 : 78,
    starts64BitByDefault: facts.kernel.architecture === 'aarch64',
    serial: 0xa1b2c3d4,
    holding: [],
  };
}

export interface PiMachine {
  readonly host: MemoryHost;
  /** Where the boot partition is mounted. */
  readonly directory: string;
  bootFiles(): BootFiles;
  isFlagSet(): boolean;
  /** The tryboot flag, which a start spends. */
  takeFlag(): boolean;
}

/** `onChange` is called before each change of the machine. */
export function piMachine(facts: Facts, onChange: (machine: PiMachine) => void = () => {}): PiMachine {
  const directory = facts.mounts.find(({ fileSystem }) => fileSystem === 'vfat')?.target ?? '/boot';
  let flag = 0;
  const files: Record<string, string | Uint8Array> = { '/var/lib/README': '' };
  for (const { path, kind } of facts.bootListing ?? []) if (kind === 'file') files[path] = contentsOf(path, facts);
  for (const { path, text } of facts.bootFiles) files[path] = text;
  const host = createMemoryHost({
    files,
    onChange: () => onChange(machine),
    run: async (command, [tag, , , value]) => {
      if (!command.endsWith('vcmailbox')) throw new Error(`${command} is not expected`);
      if (tag === '0x00038064') flag = Number(value);
      const words = [0x1c, 0x80000000, Number(tag), 4, 0x80000004, flag, 0];
      return { stdout: `${words.map((word) => `0x${word.toString(16).padStart(8, '0')}`).join(' ')}\n`, stderr: '' };
    },
  });
  const machine: PiMachine = {
    host,
    directory,
    bootFiles: () =>
      new Map(
        [...host.nodes].flatMap(([path, node]) =>
          node.kind === 'file' && path.startsWith(`${directory}/`)
            ? [[path.slice(directory.length + 1), node.contents.slice()] as const]
            : [],
        ),
      ),
    isFlagSet: () => flag === 1,
    takeFlag: () => {
      const taken = flag === 1;
      flag = 0;
      return taken;
    },
  };
  return machine;
}

/** A head by which firmware and kernel know the format; the rest does not matter here. */
function contentsOf(path: string, facts: Facts): Uint8Array {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const bytes = Buffer.alloc(64, 1);
  if (/^kernel(7l?)?\.img$/.test(name)) bytes.writeUInt32LE(0x016f2818, 0x24);
  else if (name.startsWith('kernel') || (name === 'vmlinuz' && facts.kernel.architecture === 'aarch64'))
    bytes.write('ARMd', 0x38, 'latin1');
  return bytes;
}
