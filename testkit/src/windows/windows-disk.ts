// A disk as Windows leaves it on a UEFI machine: its four partitions, and in place of its boot manager a small EFI program that
// says so on the console. Made of files and with programs only: no kernel of a test machine has to know NTFS.
import { copyFile, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { globalVariableGuid, loadOption } from '@migrate/core';
import { execa } from 'execa';
import { cached } from '../cached.ts';
import { readVariables, withVariable, writeVariables } from './ovmf-variables.ts';
import { startWindowsPc, windowsUp } from './windows-pc.ts';

export interface WindowsDisk {
  /** Raw image of the disk. */
  readonly disk: string;
  /** OVMF_VARS file: what the firmware remembers. */
  readonly variables: string;
}

const recipe = 1;
const sectorBytes = 512;
const mebibyte = 1024 * 1024;
/** Where the EFI system partition begins, in bytes. */
export const espStart = mebibyte;
/** Microsoft's layout of a UEFI disk: ESP, MSR, Windows, recovery, aligned to 1 MiB. */
const partitions = [
  { type: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B', name: 'EFI system partition', sizeMib: 100, attributes: 'GUID:63' },
  {
    type: 'E3C9E316-0B5C-4DB8-817D-F92DF00215AE',
    name: 'Microsoft reserved partition',
    sizeMib: 16,
    attributes: 'GUID:63',
  },
  { type: 'EBD0A0A2-B9E5-4433-87C0-68B6B72699C7', name: 'Basic data partition', sizeMib: 900, attributes: '' },
  {
    ...{ type: 'DE94BBA4-06D1-4D40-A16A-BFD50179D6AC', name: 'Basic data partition', sizeMib: 64 },
    attributes: 'RequiredPartition GUID:63',
  },
] as const;
/** GUIDs of the partitions end in their number. */
const guidOf = (number: number): string => `57494E44-4F57-4000-8000-00000000000${number}`;
const diskGuid = guidOf(0);
const bootManagerPath = '\\EFI\\Microsoft\\Boot\\bootmgfw.efi';

/** Windows' boot manager writes such optional data behind the path of its own entry. */
const optionalData = Buffer.concat([
  Buffer.from('WINDOWS\0', 'latin1'),
  Buffer.from([1, 0, 0, 0, 0x88, 0, 0, 0, 0x78, 0, 0, 0]),
  Buffer.from('BCDOBJECT={9dea862c-5cdd-4e70-acc1-f32b344d4795}\0', 'utf16le'),
]);

/** The console of OVMF is the serial line. */
export const bootManagerCommands = ['echo FAKE-WINDOWS-UP', 'sleep 600', 'halt', ''].join('\n');

/** A copy of the disk and of the firmware's variables, in `directory`, to be changed at will. */
export async function windowsDisk(directory: string): Promise<WindowsDisk> {
  const source = await cached('windows-disk', { recipe, partitions, bootManagerCommands }, build);
  const copy = { disk: join(directory, 'windows.raw'), variables: join(directory, 'variables.fd') };
  await execa('cp', ['--sparse=always', '--reflink=auto', join(source, 'windows.raw'), copy.disk]);
  await copyFile(join(source, 'variables.fd'), copy.variables);
  return copy;
}

async function build(directory: string): Promise<void> {
  const disk = join(directory, 'windows.raw');
  const startsMib = partitions.map((_, index) =>
    partitions.slice(0, index).reduce((sum, { sizeMib }) => sum + sizeMib, 1),
  );
  const totalMib = 2 + partitions.reduce((sum, { sizeMib }) => sum + sizeMib, 0);
  const lines = partitions.map(({ type, name, sizeMib, attributes }, index) =>
    [
      `start=${((startsMib[index] ?? 0) * mebibyte) / sectorBytes}, size=${(sizeMib * mebibyte) / sectorBytes}`,
      `type=${type}, uuid=${guidOf(index + 1)}, name="${name}"${attributes === '' ? '' : `, attrs="${attributes}"`}`,
    ].join(', '),
  );
  await execa('truncate', ['-s', `${totalMib}M`, disk]);
  await execa('sfdisk', ['-q', disk], { input: ['label: gpt', `label-id: ${diskGuid}`, ...lines, ''].join('\n') });
  const put = async (number: number, make: (image: string) => Promise<void>): Promise<void> => {
    const image = join(directory, `partition-${number}`);
    await execa('truncate', ['-s', `${partitions[number - 1]?.sizeMib}M`, image]);
    await make(image);
    const seek = `seek=${startsMib[number - 1]}`;
    await execa('dd', [`if=${image}`, `of=${disk}`, 'bs=1M', seek, 'conv=notrunc,sparse', 'status=none']);
    await rm(image);
  };
  await put(1, (image) => fillEsp(image, directory));
  await put(3, async (image) => {
    await execa('mkntfs', ['-q', '-F', '-f', '-L', 'Windows', image]);
    // Something to be kept when the file system shrinks.
    await execa('ntfscp', ['-q', '-f', image, process.execPath, 'pagefile.sys']);
  });
  await put(4, async (image) => {
    await execa('mkntfs', ['-q', '-F', '-f', '-L', 'Recovery', image]);
  });
  await rememberWindows(directory, disk);
}

async function fillEsp(image: string, directory: string): Promise<void> {
  const tree = join(directory, 'esp');
  await mkdir(join(tree, 'EFI/Microsoft/Boot'), { recursive: true });
  const program = join(tree, 'EFI/Microsoft/Boot/bootmgfw.efi');
  const config = join(directory, 'bootmgfw.cfg');
  await writeFile(config, bootManagerCommands);
  // A configuration inside the image is run command by command, without the language that `normal` knows.
  const modules = ['echo', 'sleep', 'halt'];
  await execa('grub-mkimage', ['-O', 'x86_64-efi', '-p', '/', '-c', config, '-o', program, ...modules]);
  // Not read by the firmware; what is beside the boot manager must outlive a migration that is taken back.
  await writeFile(join(tree, 'EFI/Microsoft/Boot/BCD'), 'regf, or so this would begin\n');
  await execa('mkfs.vfat', ['-F', '32', '-n', 'SYSTEM', image]);
  await execa('mcopy', ['-s', '-m', '-i', image, join(tree, 'EFI'), '::']);
  await rm(tree, { recursive: true });
  await rm(config);
}

/** The firmware as it is once Windows was installed and started: it writes much of its own at its first start. */
async function rememberWindows(directory: string, disk: string): Promise<void> {
  const variables = join(directory, 'variables.fd');
  const empty = await readFile('/usr/share/OVMF/OVMF_VARS_4M.fd');
  await writeFile(variables, writeVariables(empty, windowsEntry(readVariables(empty))));
  const machine = await startWindowsPc({ disk, variables });
  await machine.waitFor(windowsUp, { timeoutMs: 120_000 });
  await machine.kill();
}

/** The EFI system partition as boot entries name it. */
export const espOfBootEntry = {
  number: 1,
  startLba: espStart / sectorBytes,
  sectors: (partitions[0].sizeMib * mebibyte) / sectorBytes,
  uuid: guidOf(1).toLowerCase(),
};

/** The firmware's variables with the boot entry that Windows' setup makes. */
export function windowsEntry(variables: ReturnType<typeof readVariables>): ReturnType<typeof readVariables> {
  const entry = loadOption({
    ...{ description: 'Windows Boot Manager', filePath: bootManagerPath },
    partition: espOfBootEntry,
  });
  const common = { namespace: globalVariableGuid, attributes: 7 };
  return [
    { ...common, name: 'Boot0000', data: Buffer.concat([entry, optionalData]) },
    { ...common, name: 'BootOrder', data: Uint8Array.of(0, 0) },
  ].reduce(withVariable, variables);
}
