// UEFI variables as Linux shows them in efivarfs (Documentation/filesystems/efivarfs.rst): four bytes of attributes,
// then the data.

import { formatGuid, guidBytes } from '../disk/guid.ts';
import type { HostReader } from '../host/host.ts';
import type { BootEntry, Firmware } from './facts.ts';

/** EFI_GLOBAL_VARIABLE, UEFI specification 2.10 section 3.3. */
export const globalVariableGuid = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
export const efivarsDirectory = '/sys/firmware/efi/efivars';
const attributesBytes = 4;
/** NON_VOLATILE | BOOTSERVICE_ACCESS | RUNTIME_ACCESS, UEFI specification 2.10 section 8.2. */
export const variableAttributes = 7;

/** Reads the firmware facts of a PC: UEFI where the kernel was started by it, else BIOS. */
export async function inspectFirmware(host: HostReader): Promise<Firmware> {
  if ((await host.status('/sys/firmware/efi')) === undefined) {
    return { kind: (await host.status('/proc/device-tree')) === undefined ? 'bios' : 'device-tree' };
  }
  const bits = (await host.readText('/sys/firmware/efi/fw_platform_size'))?.trim() === '32' ? 32 : 64;
  const names = await host.list(efivarsDirectory);
  const variable = async (name: string): Promise<Uint8Array | undefined> => {
    const file = `${name}-${globalVariableGuid}`;
    if (!names.includes(file)) return undefined;
    return (await host.readFile(`${efivarsDirectory}/${file}`)).subarray(attributesBytes);
  };
  const secureBoot = await variable('SecureBoot');
  const bootCurrent = uint16List(await variable('BootCurrent'))[0];
  const bootEntries: BootEntry[] = [];
  for (const name of names) {
    const number = /^Boot([0-9A-Fa-f]{4})-/.exec(name)?.[1];
    if (number === undefined || !name.endsWith(globalVariableGuid)) continue;
    const contents = await variable(`Boot${number}`);
    if (contents !== undefined) bootEntries.push(parseLoadOption(Number.parseInt(number, 16), contents));
  }
  return {
    kind: 'uefi',
    bits,
    variablesReadable: names.length > 0,
    ...(secureBoot === undefined ? {} : { secureBoot: secureBoot[0] === 1 }),
    ...(bootCurrent === undefined ? {} : { bootCurrent }),
    bootOrder: uint16List(await variable('BootOrder')),
    bootEntries,
  };
}

/** Little-endian 16-bit numbers, as in BootOrder. */
export function uint16List(bytes: Uint8Array | undefined): number[] {
  if (bytes === undefined) return [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.byteLength >> 1 }, (_, index) => view.getUint16(index * 2, true));
}

export function uint16Bytes(values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(values.length * 2);
  values.forEach((value, index) => {
    bytes.writeUInt16LE(value, index * 2);
  });
  return bytes;
}

/** Name of the variable of a load option: "Boot001A". */
export function bootVariableName(number: number): string {
  return `Boot${number.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Parses an EFI_LOAD_OPTION (UEFI specification 2.10 section 3.1.3); a damaged one gives what could be read. */
export function parseLoadOption(number: number, bytes: Uint8Array): BootEntry {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 6) return { number, description: '', isActive: false };
  const isActive = (view.getUint32(0, true) & 1) === 1;
  let offset = 6;
  let description = '';
  for (; offset + 1 < bytes.length; offset += 2) {
    const unit = view.getUint16(offset, true);
    if (unit === 0) break;
    description += String.fromCharCode(unit);
  }
  return { number, description, isActive, ...parseDevicePath(bytes.subarray(offset + 2)) };
}

/** Device path nodes (UEFI specification 2.10 section 10.3): hard drive is type 4 subtype 1, file path subtype 4. */
function parseDevicePath(bytes: Uint8Array): { partitionUuid?: string; filePath?: string } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: { partitionUuid?: string; filePath?: string } = {};
  let offset = 0;
  while (offset + 4 <= bytes.length) {
    const type = bytes[offset];
    const subtype = bytes[offset + 1];
    const length = view.getUint16(offset + 2, true);
    if (length < 4 || offset + length > bytes.length || type === 0x7f) break;
    if (type === 4 && subtype === 1 && length >= 42 && bytes[offset + 41] === 2) {
      found.partitionUuid = formatGuid(bytes.subarray(offset + 24, offset + 40));
    }
    if (type === 4 && subtype === 4) {
      const text = Buffer.from(bytes.subarray(offset + 4, offset + length)).toString('utf16le');
      found.filePath = text.replace(/\0.*$/s, '');
    }
    offset += length;
  }
  return found;
}

/** Builds an EFI_LOAD_OPTION for a file on a GPT partition. */
export function loadOption(option: {
  readonly description: string;
  readonly filePath: string;
  readonly partition: {
    readonly number: number;
    readonly startLba: number;
    readonly sectors: number;
    readonly uuid: string;
  };
}): Uint8Array {
  const hardDrive = Buffer.alloc(42);
  hardDrive.writeUInt8(4, 0);
  hardDrive.writeUInt8(1, 1);
  hardDrive.writeUInt16LE(42, 2);
  hardDrive.writeUInt32LE(option.partition.number, 4);
  hardDrive.writeBigUInt64LE(BigInt(option.partition.startLba), 8);
  hardDrive.writeBigUInt64LE(BigInt(option.partition.sectors), 16);
  hardDrive.set(guidBytes(option.partition.uuid), 24);
  hardDrive.writeUInt8(2, 40);
  hardDrive.writeUInt8(2, 41);
  const name = Buffer.from(`${option.filePath}\0`, 'utf16le');
  const file = Buffer.alloc(4 + name.length);
  file.writeUInt8(4, 0);
  file.writeUInt8(4, 1);
  file.writeUInt16LE(file.length, 2);
  name.copy(file, 4);
  const end = Buffer.from([0x7f, 0xff, 4, 0]);
  const path = Buffer.concat([hardDrive, file, end]);
  const head = Buffer.alloc(6);
  head.writeUInt32LE(1, 0);
  head.writeUInt16LE(path.length, 4);
  return Buffer.concat([head, Buffer.from(`${option.description}\0`, 'utf16le'), path]);
}
