import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configYaml, type Road, startRoad } from './road.ts';
import { migrateAndCheck } from './road-test.ts';

describe('a Debian 12 machine with BIOS, GPT and 512 MiB of RAM', () => {
  let road: Road;
  beforeAll(async () => {
    road = await startRoad({
      shape: 'bios-gpt',
      memoryMib: 512,
      deviceType: 'generic-amd64',
      payloadMib: 144,
      // The same image followed by what does not compress.
      addFiles: async (share, image) => {
        const script = '{ cat "$1"; head -c 150M /dev/urandom | gzip -1; } >"$2"';
        await execa('sh', ['-c', script, 'grow', image.path, join(share, 'larger-than-memory.img.gz')]);
      },
    });
  });
  afterAll(() => road?.close());

  it('refuses an image that does not fit into RAM, with the arithmetic', async () => {
    await road.machine.writeFile(
      `${road.workDirectory}/balena-migrate.yml`,
      configYaml({ extra: ['staging: ram'] }).replace('balena.img.gz', 'larger-than-memory.img.gz'),
    );
    const { exitCode, stderr } = await road.migrate('--mode', 'immediate', '--yes');
    expect([exitCode, stderr]).toEqual([
      3,
      expect.stringMatching(/stage 2 needs \d+ MiB of RAM, the machine has \d+ MiB/),
    ]);
  });

  it('becomes balenaOS by itself with an image of 150 MiB, on another kernel than the running one', async () => {
    expect(road.image.fileBytes).toBeGreaterThan(150 * 1024 * 1024);
    // The same under another name, of the same length; without it the machine would be refused, as its own image is gone.
    await road.machine.runShell(`running=$(uname -r); other=\${running%-amd64}-other
cp -al /lib/modules/$running /lib/modules/$other
LC_ALL=C sed "s/$running /$other /" /boot/vmlinuz-$running >/boot/linux-other && rm /boot/vmlinuz-$running`);
    const extra = ['kernel: {path: /boot/linux-other}'];
    await migrateAndCheck(road, {
      deviceType: 'generic-amd64',
      firmware: 'bios',
      writesUnused: true,
      grade: 'C',
      extra,
    });
  });
});
