import { describe, expect, it } from 'vitest';
import { parseConfigTxt } from './config-txt.ts';
import { evaluateConfig, type FirmwareState } from './evaluate-config.ts';
import { modelNamed } from './models.ts';
import { selectBootFiles } from './select-boot-files.ts';

function state(model: string, changes: Partial<FirmwareState> = {}): FirmwareState {
  const row = modelNamed(model);
  if (row === undefined) throw new Error(`${model} is not in the table`);
  return { model: row, tryboot: false, assume: () => false, ...changes };
}
const pi3 = state('Raspberry Pi 3 Model B Rev 1.2');
const pi3Plus = state('Raspberry Pi 3 Model B Plus Rev 1.3');
const pi4 = state('Raspberry Pi 4 Model B Rev 1.4');
const pi400 = state('Raspberry Pi 400 Rev 1.0');

const evaluate = (text: string, on: FirmwareState, files: Record<string, string> = {}) =>
  evaluateConfig(
    (name) => {
      const found = name === 'config.txt' ? text : files[name];
      return found === undefined ? undefined : parseConfigTxt(Buffer.from(found));
    },
    'config.txt',
    on,
  );
const value = (text: string, on: FirmwareState) => evaluate(text, on).settings.get('kernel');

describe('sections', () => {
  it('apply by model: 3 to 3+, 4 to 400, and one replaces the other', () => {
    const text = '[pi3]\nkernel=3\n[pi3+]\nkernel=3+\n[pi4]\nkernel=4\n[pi400]\nkernel=400\n';
    expect([pi3, pi3Plus, pi4, pi400].map((on) => value(text, on))).toEqual(['3', '3+', '4', '400']);
    expect(value('[pi3]\nkernel=3\n', pi3Plus)).toBe('3');
  });

  it('of different kinds must all hold, until [all]', () => {
    const text = '[pi4]\n[0xa1b2c3d4]\nkernel=mine\n[all]\nkernel2=all\n';
    expect(value(text, { ...pi4, serial: 0xa1b2c3d4 })).toBe('mine');
    expect(value(text, { ...pi3, serial: 0xa1b2c3d4 })).toBeUndefined();
    expect(value(text, { ...pi4, serial: 1 })).toBeUndefined();
    expect(evaluate(text, pi3).settings.get('kernel2')).toBe('all');
  });

  it('[none] holds nowhere, [tryboot] by the flag, pins as they are assumed', () => {
    expect(value('[none]\nkernel=x\n', pi4)).toBeUndefined();
    expect(value('[none]\n[pi4]\nkernel=x\n', pi4)).toBeUndefined();
    expect(value('[tryboot]\nkernel=x\n', pi4)).toBeUndefined();
    expect(value('[tryboot]\nkernel=x\n', { ...pi4, tryboot: true })).toBe('x');
    expect([true, false].map((assume) => value('[gpio4=1]\nkernel=x\n', { ...pi4, assume: () => assume }))).toEqual([
      'x',
      undefined,
    ]);
  });

  it('swallow lines appended after them: the trap that [all] avoids', () => {
    expect(value('[pi4]\nover_voltage=1\nkernel=ours\n', pi3)).toBeUndefined();
    expect(value('[pi4]\nover_voltage=1\n[all]\nkernel=ours\n', pi3)).toBe('ours');
  });
});

describe('settings', () => {
  it('of the same name replace each other, overlays add up', () => {
    const found = evaluate('kernel=a\nkernel=b\ndtoverlay=x\ndtparam=y\ndtoverlay=z\n', pi4);
    expect(found.settings.get('kernel')).toBe('b');
    expect(found.overlays).toEqual(['dtoverlay=x', 'dtparam=y', 'dtoverlay=z']);
  });

  it('come from included files, which keep the filters, and a circle of them ends', () => {
    const found = evaluate('include a.txt\nkernel2=after\n', pi3, { 'a.txt': '[pi4]\nkernel=four\n' });
    expect(found.settings.size).toBe(0);
    expect(evaluate('include a.txt\n', pi4, { 'a.txt': 'kernel=four\n' }).settings.get('kernel')).toBe('four');
    expect(evaluate('include config.txt\n', pi4).missing).toEqual(['config.txt']);
    expect(evaluate('include gone.txt\n', pi4).missing).toEqual(['gone.txt']);
  });
});

describe('files', () => {
  const select = (text: string, on: FirmwareState, names: readonly string[], architecture: 'arm' | 'aarch64') =>
    selectBootFiles(evaluate(text, on), { model: on.model, architecture, exists: (name) => names.includes(name) });

  it('are the defaults of the board and of the word size', () => {
    const names = ['kernel7.img', 'kernel7l.img', 'kernel8.img', 'bcm2710-rpi-3-b.dtb', 'bcm2711-rpi-4-b.dtb'];
    expect(select('', pi3, names, 'arm')).toMatchObject({ kernel: 'kernel7.img', deviceTree: 'bcm2710-rpi-3-b.dtb' });
    expect(select('', pi3Plus, names, 'aarch64')).toMatchObject({ kernel: 'kernel8.img', deviceTree: names[3] });
    expect(select('', pi4, names, 'arm')).toMatchObject({ kernel: 'kernel7l.img', deviceTree: names[4] });
  });

  it('lie under os_prefix only where kernel and device tree do', () => {
    const text = 'os_prefix=new/\nkernel=vmlinuz\n';
    const both = ['new/vmlinuz', 'new/bcm2711-rpi-4-b.dtb', 'vmlinuz', 'bcm2711-rpi-4-b.dtb'];
    expect(select(text, pi4, both, 'aarch64')).toEqual({
      prefix: 'new/',
      kernel: 'new/vmlinuz',
      deviceTree: 'new/bcm2711-rpi-4-b.dtb',
      commandLineFile: 'new/cmdline.txt',
    });
    expect(select(text, pi4, both.slice(0, 1).concat(both.slice(2)), 'aarch64')).toMatchObject({
      prefix: '',
      kernel: 'vmlinuz',
    });
  });

  it('are not guessed where config.txt and the running kernel differ', () => {
    expect(select('arm_64bit=1\n', pi4, ['kernel7l.img'], 'arm')).toContain('for aarch64, but one for arm');
    expect(select('kernel=kernel8.img\n', pi4, ['kernel8.img'], 'arm')).toContain('for aarch64');
    expect(select('', pi4, [], 'arm')).toContain('kernel7l.img');
    expect(select('upstream_kernel=1\n', pi4, ['kernel8.img'], 'aarch64')).toContain('upstream_kernel');
  });
});
