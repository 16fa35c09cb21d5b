// Any config.txt: what the boot manager accepts must start stage 2 on the firmware model, which reads it on its own.
import { type Facts, refuses, type Step } from '@migrate/core';
import { piFirmware } from '@migrate/device-rpi';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { startPi } from './pi-firmware.ts';
import { lifeboatFiles, piLifeboatOf } from './pi-lifeboat-files.ts';
import { piBoard, piFacts, piMachine } from './pi-machine.ts';

const line = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.constantFrom(
      '[all]',
      '[pi3]',
      '[pi4]',
      '[none]',
      '[gpio4=1]',
      '[EDID=VSC-TD2220]',
      '[HDMI:1]',
      '[tryboot]',
      '[0xa1b2c3d4]',
    ),
  },
  {
    weight: 3,
    arbitrary: fc.constantFrom(
      'dtparam=audio=on',
      'dtoverlay=w1-gpio',
      'gpu_mem=64',
      'gpu_mem=128',
      'disable_splash=1',
      'enable_uart=1',
    ),
  },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'kernel=kernel7.img',
      'kernel=kernel8.img',
      'arm_64bit=1',
      'arm_64bit=0',
      'auto_initramfs=1',
      'initramfs own.img followkernel',
      'cmdline=cmdline.txt',
      'include extra.txt',
      'os_prefix=old/',
      'odd line',
    ),
  },
  { weight: 5, arbitrary: fc.nat(130).map((length) => `#${'-'.repeat(length)}`) },
  { weight: 2, arbitrary: fc.constant('') },
);
const config = fc
  .tuple(fc.array(line, { maxLength: 40 }), fc.constantFrom('\n', '\r\n'), fc.constantFrom('', '\n'))
  .map(([lines, end, last]) => `${lines.join(end)}${last}`);

function withConfig(facts: Facts, text: string): Facts {
  return {
    ...facts,
    bootFiles: facts.bootFiles.map((file) =>
      file.path.endsWith('/config.txt') ? { ...file, text, sizeBytes: Buffer.byteLength(text) } : file,
    ),
  };
}

/** The files as they are once armed. */
function armedFiles(facts: Facts, steps: readonly Step[]): Map<string, Uint8Array> {
  const { bootFiles, directory } = piMachine(facts);
  const files = new Map(bootFiles());
  const name = (path: string): string => path.slice(directory.length + 1);
  files.set(name(`${piFirmware.bootDirectory(facts)}/stage2.img`), Buffer.from('initramfs'));
  for (const step of steps) {
    if (step.kind === 'write-file') files.set(name(step.path), Buffer.from(step.text));
    if (step.kind !== 'switch-rpi-config') continue;
    const bytes = Buffer.from(files.get(name(step.path)) ?? []);
    bytes.set(Buffer.from(step.change.armed, 'base64'), step.change.offsetBytes);
    files.set(name(step.path), bytes);
  }
  return files;
}

describe.each(['pi-3-raspbian-9', 'pi-3-plus-raspbian-11', 'pi-4-debian-12'])('any config.txt on %s', (machine) => {
  it('is refused, or starts stage 2 with the same kernel and board setup, whatever pins and screens are', () => {
    const tally = { accepted: 0, refused: 0, boats: 0 };
    fc.assert(
      fc.property(config, (text) => {
        const facts = withConfig(piFacts(machine), text);
        if (refuses(piFirmware.check(facts))) {
          tally.refused += 1;
          return;
        }
        tally.accepted += 1;
        const directory = piFirmware.bootDirectory(facts);
        const steps = piFirmware.bootOnce(
          {
            entryId: 'x',
            kernelPath: '',
            initramfsPath: `${directory}/stage2.img`,
            commandLine: ['rdinit=/migrate/init', 'panic=10'],
          },
          facts,
        );
        const boat = piLifeboatOf(facts);
        if (typeof boat !== 'string') tally.boats += 1;
        for (const holding of [
          [],
          ['gpio4=1'],
          ['EDID=VSC-TD2220'],
          ['gpio4=1', 'HDMI:1'],
          ['EDID=VSC-TD2220', 'HDMI:1'],
        ]) {
          const board = { ...piBoard(facts), holding };
          const old = startPi(board, piMachine(facts).bootFiles(), false);
          const start = startPi(board, armedFiles(facts, steps), board.knowsTryboot);
          if (old.kind === 'hangs' || start.kind === 'hangs') throw new Error(`${JSON.stringify([old, start])}`);
          expect(start.initramfs).toEqual(['balena-migrate/stage2.img']);
          expect(start.commandLine).toBe(`${old.commandLine} rdinit=/migrate/init panic=10`);
          expect([start.kernel, start.is64Bit, start.deviceTree]).toEqual([old.kernel, old.is64Bit, old.deviceTree]);
          expect([start.overlays, start.settings]).toEqual([old.overlays, old.settings]);
          if (typeof boat === 'string') continue;
          const boarded = startPi(board, lifeboatFiles(facts, boat), false);
          expect(boarded).toMatchObject({
            ...{ kernel: old.kernel, is64Bit: old.is64Bit, deviceTree: old.deviceTree, overlays: old.overlays },
            ...{ settings: old.settings, initramfs: [boat.initramfs] },
            commandLine: expect.stringContaining('migrate.lifeboat'),
          });
        }
      }),
      { numRuns: 400 },
    );
    expect(tally.accepted).toBeGreaterThan(20);
    expect(tally.refused).toBeGreaterThan(20);
    expect(tally.boats).toBeGreaterThan(20);
  });
});
