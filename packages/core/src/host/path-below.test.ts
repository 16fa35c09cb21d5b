import { describe, expect, it } from 'vitest';
import { pathBelow } from './path-below.ts';

describe('pathBelow', () => {
  it.each([
    ['/var/lib', 'a/b', '/var/lib/a/b'],
    ['/', 'a', '/a'],
    ['/volume', '/EFI/x.efi', '/volume/EFI/x.efi'],
    ['S:\\', '/EFI/x.efi', 'S:\\EFI\\x.efi'],
    ['\\\\?\\Volume{1}\\', 'EFI/x.efi', '\\\\?\\Volume{1}\\EFI\\x.efi'],
    ['C:\\Program Files', 'balena-migrate', 'C:\\Program Files\\balena-migrate'],
  ])('puts together %s and %s', (directory, path, expected) => {
    expect(pathBelow(directory, path)).toBe(expected);
  });
});
