// What inspecting a board finds is what the fixtures say, and enough to decide how it boots.
import { inspectMachine } from '@migrate/cli-migrate';
import { createMemoryHost, type Facts } from '@migrate/core';
import { beagleUboot } from '@migrate/device-beagle';
import { describe, expect, it } from 'vitest';
import { beagleFacts, beagleMachine, beagleNames } from './beagle-in-memory.ts';

/** The board's files with what the kernel tells of its mounts, its partitions and its model. */
function hostOf(facts: Facts) {
  const files: Record<string, string | Uint8Array> = {};
  for (const [path, node] of beagleMachine(facts).host.nodes) if (node.kind === 'file') files[path] = node.contents;
  const links: Record<string, string> = {};
  for (const { name, partitions } of facts.disks) {
    links[`/sys/class/block/${name}`] = `/sys/block/${name}`;
    for (const { name: partition, number, startByte, sizeBytes, device } of partitions) {
      const directory = `/sys/block/${name}/${partition}`;
      files[`${directory}/partition`] = `${number}\n`;
      files[`${directory}/start`] = `${startByte / 512}\n`;
      files[`${directory}/size`] = `${sizeBytes / 512}\n`;
      files[`${directory}/dev`] = `${device}\n`;
    }
  }
  // The head of a file that no text describes.
  for (const { path, contents } of facts.bootAreas ?? [])
    if (!path.startsWith('/dev/')) files[path] = Buffer.from(contents ?? '', 'base64');
  // Beside its device trees lies a copy of the running kernel.
  const kernel = files[facts.kernel.image?.path ?? ''];
  if (files['/boot/uboot/zImage'] !== undefined && kernel !== undefined) files['/boot/uboot/zImage'] = kernel;
  const lines = facts.mounts.map(
    ({ device, target, options, fileSystem, source }, index) =>
      `${index + 20} 1 ${device} / ${target} ${options.join()} - ${fileSystem} ${source} rw\n`,
  );
  return createMemoryHost({
    machine: 'armv7l',
    links,
    files: {
      ...files,
      [`/lib/modules/${facts.kernel.release}/modules.dep`]: '',
      [`/boot/dtbs/${facts.kernel.release}/am335x-evm.dtb`]: 'of another board',
      '/proc/self/mountinfo': lines.join(''),
      '/proc/device-tree/model': `${facts.hardware.deviceTreeModel}\0`,
      '/proc/sys/kernel/osrelease': `${facts.kernel.release}\n`,
    },
  });
}

describe.each(beagleNames)('inspecting %s', (name) => {
  const captured = beagleFacts(name);

  it('reads what decides how it boots, and nothing else', async () => {
    const facts = await inspectMachine(hostOf(captured), []);
    const names = (list: readonly { readonly path: string }[] | undefined) =>
      (list ?? []).map(({ path }) => path).sort();
    expect(names(facts.bootListing)).toEqual(names(captured.bootListing));
    expect(names(facts.bootFiles)).toEqual(names(captured.bootFiles));
    // Sector 0 has the table of the smaller disk.
    const areas = (list: Facts['bootAreas']) =>
      (list ?? []).filter(({ startByte, path }) => startByte > 0 || !path.startsWith('/dev/'));
    expect(new Set(areas(facts.bootAreas))).toEqual(new Set(areas(captured.bootAreas)));
    expect(facts.hardware).toEqual(captured.hardware);
    expect(facts.disks[0]?.table).toEqual(captured.disks[0]?.table);
  });

  it('finds nothing that stands against it but what the fixture has', async () => {
    const facts = await inspectMachine(hostOf(captured), []);
    // The file systems of the small disk have no signatures.
    const disks = facts.disks.map((disk) => ({ ...disk, partitions: captured.disks[0]?.partitions ?? [] }));
    expect(beagleUboot.check({ ...facts, disks, modules: captured.modules })).toEqual(beagleUboot.check(captured));
  });
});
