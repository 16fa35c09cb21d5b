// Disks with a lifeboat on them, made as stage 1 makes it, but offline: to see that firmware boots it.
import { copyFile, mkdtemp, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type CpioEntry, type LifeboatRecord, writeCpio } from '@migrate/core';
import { layOutLifeboat } from '@migrate/image-tools';
import { execa } from 'execa';
import { lifeboatPart } from '../bundle/lifeboat-part.ts';
import { debianKernel } from '../stage2-machine.ts';

export interface LifeboatDisk {
  readonly path: string;
  readonly record: Pick<LifeboatRecord, 'switch' | 'backup'>;
}

const mebibyte = 1024 * 1024;
const diskBytes = 256 * mebibyte;
const startByte = 128 * mebibyte;

/** What the lifeboat's kernel starts: it says so and switches off. */
const init = '#!/busybox sh\n/busybox echo LIFEBOAT-UP\n/busybox poweroff -f\n';
const menu = 'set timeout=0\nlinux /boot/kernel console=ttyS0 rdinit=/init panic=1\ninitrd /boot/initrd\nboot\n';

/** A disk with a GPT whose firmware finds nothing but, once switched, the lifeboat. */
export async function lifeboatDisk(work: string): Promise<LifeboatDisk> {
  const directory = await mkdtemp(join(work, 'lifeboat-'));
  const grub = await lifeboatPart();
  const { root, release } = await debianKernel();
  const files = new Map<string, Buffer>([
    ['boot/kernel', await readFile(join(root, `boot/vmlinuz-${release}`))],
    ['boot/initrd', await initramfs()],
    ['grub/grub.cfg', Buffer.from(menu)],
    ['EFI/BOOT/BOOTX64.EFI', await readFile(join(grub, 'BOOTX64.EFI'))],
  ]);
  const contents = layOutLifeboat({
    files: [...files].map(([path, bytes]) => ({ path, sizeBytes: bytes.length })),
    way: { kind: 'gpt', partitionGuid: '0f0e0d0c-0b0a-4908-8706-0504030201ff' },
    serial: 'BA1E-0A05',
    time: new Date(0),
    disk: { sizeBytes: diskBytes, tableId: '0f0e0d0c-0b0a-4908-8706-050403020100' },
  });
  const path = join(directory, 'disk.raw');
  await execa('truncate', ['-s', String(diskBytes), path]);
  await execa('sfdisk', ['-q', path], { input: 'label: gpt\nstart=2048,size=2048\n' });
  const file = await open(path, 'r+');
  for (const piece of contents.pieces(startByte))
    await file.write(piece.bytes, 0, piece.bytes.length, startByte + piece.startByte);
  for (const [name, bytes] of files) await file.write(bytes, 0, bytes.length, startByte + contents.startOf(name));
  await file.close();
  return { path, record: contents.wayRecord(startByte) };
}

/** Writes one of the record's sectors. */
export async function writeSector(
  disk: string,
  { startByte: place, bytes }: { startByte: number; bytes: string },
): Promise<void> {
  const file = await open(disk, 'r+');
  await file.write(Buffer.from(bytes, 'base64'), 0, 512, place);
  await file.close();
}

/** Fresh UEFI variables. */
export async function uefiVariables(work: string): Promise<string> {
  const path = join(await mkdtemp(join(work, 'variables-')), 'variables.fd');
  await copyFile('/usr/share/OVMF/OVMF_VARS_4M.fd', path);
  await execa('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', path, `${path}.qcow2`]);
  return `${path}.qcow2`;
}

async function initramfs(): Promise<Buffer> {
  const entries: CpioEntry[] = [
    { path: 'dev/console', mode: 0o600, node: { kind: 'character-device', major: 5, minor: 1 } },
    { path: 'busybox', mode: 0o755, node: { kind: 'file', contents: await readFile('/bin/busybox') } },
    { path: 'init', mode: 0o755, node: { kind: 'file', contents: Buffer.from(init) } },
  ];
  const parts: Uint8Array[] = [];
  for await (const part of writeCpio(entries)) parts.push(part);
  return Buffer.concat(parts);
}
