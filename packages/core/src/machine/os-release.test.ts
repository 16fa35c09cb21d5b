import { describe, expect, it } from 'vitest';
import { parseOsRelease } from './os-release.ts';

describe('parseOsRelease', () => {
  it('reads quoted and bare values', () => {
    const text = `PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n# comment\nHOME_URL='https://x/?a=b'\n`;
    expect(parseOsRelease(text)).toEqual({
      id: 'debian',
      versionId: '12',
      prettyName: 'Debian GNU/Linux 12 (bookworm)',
      idLike: [],
    });
  });

  it('splits ID_LIKE and undoes shell escapes', () => {
    const os = parseOsRelease('ID=linuxmint\nID_LIKE="ubuntu debian"\nPRETTY_NAME="A \\"b\\" \\$c"\n');
    expect(os.idLike).toEqual(['ubuntu', 'debian']);
    expect(os.prettyName).toBe('A "b" $c');
  });

  it('gives the defaults of os-release(5) for an empty file', () => {
    expect(parseOsRelease('')).toEqual({ id: 'linux', versionId: '', prettyName: 'linux', idLike: [] });
  });
});
