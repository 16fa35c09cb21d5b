import { readFile } from 'node:fs/promises';
import { globalVariableGuid } from '@migrate/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { findVariable, readVariables, withoutVariable, withVariable, writeVariables } from './ovmf-variables.ts';

const empty = await readFile('/usr/share/OVMF/OVMF_VARS_4M.fd');
const withMicrosoftKeys = await readFile('/usr/share/OVMF/OVMF_VARS_4M.ms.fd');
/** gEfiSecureBootEnableDisableGuid, edk2 SecurityPkg/SecurityPkg.dec. */
const secureBootSwitch = { name: 'SecureBootEnable', namespace: 'f0a30bc7-af08-4556-99c4-001009c93a44' };

describe('the variable store of Debian’s OVMF', () => {
  it('is empty as it comes', () => expect(readVariables(empty)).toEqual([]));

  it('has the keys of Secure Boot where Debian enrolled them', () => {
    const variables = readVariables(withMicrosoftKeys);
    expect(findVariable(variables, { name: 'PK', namespace: globalVariableGuid })?.data.length).toBeGreaterThan(500);
    expect(findVariable(variables, secureBootSwitch)?.data).toEqual(Uint8Array.of(1));
    // Time-based authentication, UEFI specification 2.10 section 8.2.1: the time stamp is kept with the variable.
    const keys = variables.filter(({ name }) => ['PK', 'KEK', 'db', 'dbx'].includes(name));
    expect(keys.map(({ attributes }) => attributes)).toEqual([0x27, 0x27, 0x27, 0x27]);
  });

  it('is the same, but for what was deleted in it, when its variables are written back', () => {
    const written = writeVariables(withMicrosoftKeys, readVariables(withMicrosoftKeys));
    expect(readVariables(written)).toEqual(readVariables(withMicrosoftKeys));
    expect(written.length).toBe(withMicrosoftKeys.length);
    expect(Buffer.compare(writeVariables(empty, []), empty)).toBe(0);
  });

  it('gives back any variables that are set and loses those that are removed', () => {
    const variable = fc.record({
      name: fc.stringMatching(/^[A-Za-z0-9]{1,20}$/),
      namespace: fc.constantFrom(globalVariableGuid, secureBootSwitch.namespace),
      attributes: fc.constantFrom(3, 7),
      data: fc.uint8Array({ minLength: 1, maxLength: 300 }),
    });
    fc.assert(
      fc.property(fc.array(variable, { maxLength: 20 }), fc.nat(19), (set, index) => {
        const all = set.reduce(withVariable, readVariables(withMicrosoftKeys));
        expect(readVariables(writeVariables(withMicrosoftKeys, all))).toEqual(all);
        const removed = set[index];
        if (removed === undefined) return;
        const rest = readVariables(writeVariables(withMicrosoftKeys, withoutVariable(all, removed)));
        expect(findVariable(rest, removed)).toBeUndefined();
        expect(rest.length).toBe(all.length - 1);
      }),
      { numRuns: 20 },
    );
  });

  it('takes the old one of two while a write was interrupted, and the new one once it is complete', () => {
    const namespace = globalVariableGuid;
    const variables = ['old', 'new'].map((text) => ({
      ...{ name: 'BootNext', namespace, attributes: 7 },
      ...{ data: Buffer.from(text), authentication: new Uint8Array(28) },
    }));
    const both = Buffer.from(writeVariables(empty, variables));
    const first = both.indexOf(Buffer.from('BootNext', 'utf16le')) - 60;
    const second = both.lastIndexOf(Buffer.from('BootNext', 'utf16le')) - 60;
    const dataOf = (bytes: Uint8Array) => readVariables(bytes).map(({ data }) => Buffer.from(data).toString());
    both[first + 2] = 0x3e;
    expect(dataOf(both)).toEqual(['new']);
    both[second + 2] = 0x7f;
    expect(dataOf(both)).toEqual(['old']);
    both[first + 2] = 0x3c;
    both[second + 2] = 0x3f;
    expect(dataOf(both)).toEqual(['new']);
  });

  it('is refused where it is damaged', () => {
    expect(() => readVariables(Buffer.alloc(4096))).toThrow('no volume of firmware variables');
    const damaged = Buffer.from(withMicrosoftKeys);
    damaged.writeUInt32LE(0xffffff, damaged.indexOf(Buffer.from('PK\0', 'utf16le')) - 60 + 40);
    expect(() => readVariables(damaged)).toThrow('longer than the store');
    damaged[72 + 21] = 0;
    expect(() => readVariables(damaged)).toThrow('damaged');
  });
});
