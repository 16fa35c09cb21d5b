// A U-Boot prompt to try commands at.
import { type BeagleOptions, type EmulatedBeagle, startEmulatedBeagle } from './beagle-emulator.ts';

export interface UbootPrompt {
  /** Runs a line and returns what it printed. */
  run(line: string): Promise<string>;
  readonly machine: EmulatedBeagle;
  close(): Promise<void>;
}

/** U-Boot that stops at its prompt, with the media scanned: SD is virtio 0, eMMC virtio 1. */
export async function ubootPrompt(media: Omit<BeagleOptions, 'firmware'> = {}): Promise<UbootPrompt> {
  const machine = await startEmulatedBeagle({ ...media, firmware: { bootdelay: '-1' } });
  let count = 0;
  const run = async (line: string): Promise<string> => {
    count += 1;
    // The echo of what is typed has a backslash in it, the answer has not.
    machine.type(`${line}; echo END\\-${count}\n`);
    const pattern = new RegExp(`END\\\\-${count}\\r?\\n([^]*?)END-${count}\\r?\\n`);
    const [, printed = ''] = await machine.waitFor(pattern, { timeoutMs: 20_000 });
    return printed.replaceAll('\r', '');
  };
  await machine.waitFor(/=> /);
  return { run, machine, close: machine.kill };
}
