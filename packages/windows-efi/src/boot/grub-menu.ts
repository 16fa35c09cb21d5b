// What GRUB is told on machines of Windows. It reads /EFI/balena-migrate/grub.cfg of the partition that it was loaded from, which is
// $root then.
import { emptyGrubEnvironment, quoteForGrub, setGrubVariable } from '@migrate/core';

/** Directory of the loader's files on the partition that it is started from. */
export const loaderDirectory = '/EFI/balena-migrate';
export const loaderPath = `${loaderDirectory}/grubx64.efi`;
export const menuPath = `${loaderDirectory}/grub.cfg`;
export const environmentPath = `${loaderDirectory}/grubenv`;

/** A kernel on the payload's partition. */
export interface LinuxStart {
  readonly kernel: string;
  readonly initramfs: string;
  readonly commandLine: readonly string[];
}

export interface OneShotVariable {
  readonly name: string;
  readonly value: string;
}

/** For the loader on the payload's own partition, started by BootNext. Whatever fails ends in a restart, into Windows. */
export function bootNextMenu(start: LinuxStart): string {
  return [...header, ...linux(start), 'reboot', ''].join('\n');
}

/**
 * For the loader in place of Windows' boot manager: it starts stage 2 where the variable says so and could be cleared, and Windows
 * otherwise, also where stage 2's files are gone.
 */
export function bootManagerMenu(
  start: LinuxStart,
  request: {
    /** UUID of the payload's file system. */
    readonly payloadUuid: string;
    readonly variable: OneShotVariable;
    /** Path of Windows' own boot manager on this partition. */
    readonly original: string;
  },
): string {
  const { name, value } = request.variable;
  return [
    ...header,
    'set esp=$root',
    `load_env -f ($esp)${environmentPath} ${name}`,
    `if [ "$${name}" = ${quoteForGrub(value)} ]; then`,
    `  set ${name}=`,
    // Where it cannot be cleared, stage 2 would be started for ever.
    `  if save_env -f ($esp)${environmentPath} ${name}; then`,
    `    if search --no-floppy --fs-uuid --set=root ${request.payloadUuid}; then`,
    ...linux(start).map((line) => `      ${line}`),
    '    fi',
    '  fi',
    'fi',
    'set root=$esp',
    `chainloader ($esp)${request.original}`,
    'boot',
    '',
  ].join('\n');
}

/** The environment block that asks for stage 2. */
export function armedEnvironment({ name, value }: OneShotVariable): string {
  return setGrubVariable(emptyGrubEnvironment, name, { value, path: environmentPath });
}

const header = ['# Made by migrate; removed by "migrate undo".', 'insmod all_video'];

/** A kernel without its initramfs would only panic. */
function linux({ kernel, initramfs, commandLine }: LinuxStart): string[] {
  return [
    `if linux ${[kernel, ...commandLine].map(quoteForGrub).join(' ')}; then`,
    `  if initrd ${quoteForGrub(initramfs)}; then`,
    '    boot',
    '  fi',
    'fi',
  ];
}
