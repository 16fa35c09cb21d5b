// Whatever is in /uEnv.txt: it is refused, or stage 2 starts once and the old system as before.
import type { Facts } from '@migrate/core';
import { beagleUboot } from '@migrate/device-beagle';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { armed, starts } from './beagle-arming.ts';
import { beagleFacts } from './beagle-in-memory.ts';

const comment = fc.nat(90).map((length) => `#${'c'.repeat(length)}`);
const line = fc.oneof(
  { weight: 4, arbitrary: comment },
  {
    weight: 2,
    arbitrary: fc.constantFrom('uenvcmd=run old', 'uenvcmd=run old; run other', 'old=run loadall; bootz a b c'),
  },
  fc.constantFrom(
    '',
    '  # a comment behind blanks',
    'optargs=quiet',
    'optargs=',
    'optargs',
    'uenvcmd=',
    ' uenvcmd=bootz 0x81000000 - 0x83000000',
    'uenvcmd = true',
    'uenvold=echo no',
    'uenvcmd=run bmhook',
    `uenvcmd=${'echo word '.repeat(9)}`,
    'cmdline=a\\',
    'cmdline=\\\\x\\$y',
    'console=tty0\r',
    '=nothing',
    'uuid=1234-abcd',
  ),
  fc.string({ maxLength: 30 }).map((text) => text.replaceAll('\n', '')),
);
const environment = fc
  .tuple(fc.array(line, { maxLength: 14 }), fc.nat(9), fc.array(line, { maxLength: 6 }), fc.constantFrom('', '\n'))
  .map(
    ([before, room, after, end]) => [...before, ...Array<string>(room).fill('#'.repeat(59)), ...after].join('\n') + end,
  );

function withEnvironment(facts: Facts, path: string, text: string): Facts {
  const sizeBytes = Buffer.byteLength(text);
  return {
    ...facts,
    bootFiles: [...facts.bootFiles.filter((file) => file.path !== path), { path, text, sizeBytes, mode: 0o755 }],
    bootListing: [...(facts.bootListing ?? []).filter((file) => file.path !== path), { path, kind: 'file', sizeBytes }],
  };
}

describe.each([
  ['beaglebone-black-debian-7', '/boot/uboot/uEnv.txt'],
  ['beagleboard-xm-debian-9', '/boot/uboot/uEnv.txt'],
  ['beaglebone-black-debian-8', '/uEnv.txt'],
])('any uEnv.txt on %s', (name, path) => {
  it('is refused, or starts stage 2 once and then the old system as before', async () => {
    const seen = { refused: 0, started: 0 };
    await fc.assert(
      fc.asyncProperty(environment, async (text) => {
        const facts = withEnvironment(beagleFacts(name), path, text);
        if (beagleUboot.check(facts).some(({ severity }) => severity === 'error')) {
          seen.refused += 1;
          return;
        }
        seen.started += 1;
        const { machine, old } = await armed(facts);
        expect(starts(facts, machine.state(), old)).toEqual(['stage 2', 'old system']);
      }),
      { numRuns: 50 },
    );
    expect(seen.refused).toBeGreaterThan(3);
    expect(seen.started).toBeGreaterThan(3);
  });
});
