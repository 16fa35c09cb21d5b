// What inspecting a board finds is what the fixtures say, and enough to decide how it boots.
import { inspectMachine } from '@migrate/cli-migrate';
import { createMemoryHost, type Facts } from '@migrate/core';
import { describe, expect, it } from 'vitest';
import { piFacts, piMachine, piNames } from './pi-machine.ts';

/** The board's files with what the kernel tells of its mounts and its model. */
function hostOf(facts: Facts) {
  const files: Record<string, string | Uint8Array> = {};
  for (const [path, node] of piMachine(facts).host.nodes) if (node.kind === 'file') files[path] = node.contents;
  const lines = facts.mounts.map(
    ({ device, target, options, fileSystem, source }, index) =>
      `${index + 20} 1 ${device} / ${target} ${options.join()} - ${fileSystem} ${source} rw\n`,
  );
  return createMemoryHost({
    machine: facts.kernel.architecture === 'arm' ? 'armv7l' : 'aarch64',
    files: {
      ...files,
      '/dev/vcio': '',
      [`${piMachine(facts).directory}/overlays/w1-gpio.dtbo`]: '',
      '/proc/self/mountinfo': lines.join(''),
      '/proc/device-tree/model': `${facts.hardware.deviceTreeModel}\0`,
      '/proc/sys/kernel/osrelease': `${facts.kernel.release}\n`,
    },
  });
}

describe.each(piNames)('inspecting %s', (name) => {
  const captured = piFacts(name);

  it('lists the boot partition without the overlays, and reads its text files', async () => {
    const facts = await inspectMachine(hostOf(captured), []);
    const names = (list: readonly { readonly path: string }[] | undefined) =>
      (list ?? []).map(({ path }) => path).sort();
    expect(names(facts.bootListing)).toEqual(names(captured.bootListing));
    expect(names(facts.bootFiles)).toEqual(names(captured.bootFiles));
    expect(facts.bootFiles.find(({ path }) => path.endsWith('/config.txt'))?.text).toBe(
      captured.bootFiles.find(({ path }) => path.endsWith('/config.txt'))?.text,
    );
    expect(facts.hardware).toEqual(captured.hardware);
    expect(facts.firmware).toEqual(captured.firmware);
  });
});
