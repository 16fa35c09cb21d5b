import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { argumentValue, parseCommandLine, printCommandLine, stage2Words } from './cmdline-txt.ts';
import { lineLimitBytes, parseConfigTxt, printConfigTxt } from './config-txt.ts';

const meanings = (text: string, limit = lineLimitBytes) =>
  parseConfigTxt(Buffer.from(text, 'latin1'), limit).map((line) => line.meaning);

/** Lines as they occur, odd bytes, and every kind of line end. */
const configBytes = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '[all]',
        '[pi4]',
        'kernel=a.img',
        '# text',
        'initramfs i.img followkernel',
        '\r',
        '\n',
        '\r\n',
        '',
      ),
      fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes).toString('latin1')),
    ),
  )
  .map((parts) => new Uint8Array(Buffer.from(parts.join('\n'), 'latin1')));

describe('config.txt', () => {
  it('prints what was read, byte for byte', () => {
    fc.assert(
      fc.property(configBytes, (bytes) => {
        expect(Buffer.from(printConfigTxt(parseConfigTxt(bytes))).equals(Buffer.from(bytes))).toBe(true);
      }),
    );
  });

  it('knows every kind of line', () => {
    expect(
      meanings(
        '# c\r\n\r\n[pi4]\n[0x1a2B]\n[gpio4=1]\n[EDID=VSC-TD2220]\ninclude a.txt\nkernel=k.img\ndtparam=audio=on\nkernel k.img\n',
      ),
    ).toEqual([
      { kind: 'comment' },
      { kind: 'blank' },
      { kind: 'section', filter: 'pi4' },
      { kind: 'section', filter: '0x1a2B' },
      { kind: 'section', filter: 'gpio4=1' },
      { kind: 'section', filter: 'EDID=VSC-TD2220' },
      { kind: 'include', file: 'a.txt' },
      { kind: 'setting', name: 'kernel', value: 'k.img' },
      { kind: 'setting', name: 'dtparam', value: 'audio=on' },
      { kind: 'unknown', text: 'kernel k.img' },
    ]);
  });

  it('reads both forms of initramfs', () => {
    expect(meanings('initramfs a,b 0x00800000\ninitramfs a\nramfsfile=a')).toEqual([
      { kind: 'initramfs', files: ['a', 'b'], address: '0x00800000' },
      { kind: 'initramfs', files: ['a'], address: 'followkernel' },
      { kind: 'setting', name: 'ramfsfile', value: 'a' },
    ]);
  });

  it('cuts a line where the firmware cuts it', () => {
    const name = `k${'x'.repeat(90)}`;
    expect(meanings(`kernel=${name}z\n`)).toEqual([{ kind: 'setting', name: 'kernel', value: name }]);
    expect(meanings(`kernel=${name}`, 78)).toEqual([{ kind: 'setting', name: 'kernel', value: name.slice(0, 71) }]);
  });
});

describe('cmdline.txt', () => {
  it('is its first line, and printing makes one line', () => {
    const words = parseCommandLine('console=tty1  root=PARTUUID=1-02 rootwait\r\nsecond line\n');
    expect(words).toEqual(['console=tty1', 'root=PARTUUID=1-02', 'rootwait']);
    expect(printCommandLine(words)).toBe('console=tty1 root=PARTUUID=1-02 rootwait\n');
  });

  it('takes the last of two values, also of the first word', () => {
    expect(argumentValue(['root=a', 'quiet', 'root=b'], 'root')).toBe('b');
    expect(argumentValue(['root=a'], 'root')).toBe('a');
    expect(argumentValue(['rootwait'], 'root')).toBeUndefined();
  });

  it('keeps the old arguments and adds only what the firmware does not give anyway', () => {
    const words = stage2Words({
      old: ['console=serial0,115200', 'root=/dev/mmcblk0p2', 'rootfstype=ext4'],
      running: '8250.nr_uarts=1 console=ttyS0,115200 root=/dev/mmcblk0p2 rootfstype=ext4',
      wanted: ['rdinit=/migrate/init', 'rootfstype=ramfs', 'panic=10', 'console=ttyS0,115200'],
    });
    expect(words.slice(3)).toEqual(['rdinit=/migrate/init', 'panic=10']);
    expect(words.slice(0, 3)).toEqual(['console=serial0,115200', 'root=/dev/mmcblk0p2', 'rootfstype=ext4']);
  });
});
