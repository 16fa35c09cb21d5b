// OVMF's variable store, offline: what the machine's firmware remembers while it is off. A firmware volume that holds one
// authenticated variable store (edk2: MdePkg/Include/Pi/PiFirmwareVolume.h, MdeModulePkg/Include/Guid/VariableFormat.h).
import { formatGuid, guidBytes } from '@migrate/core';

export interface FirmwareVariable {
  readonly name: string;
  /** GUID of its vendor, lower case. */
  readonly namespace: string;
  readonly attributes: number;
  readonly data: Uint8Array;
  /** Monotonic count, time stamp and key index of an authenticated variable; zeros for others. */
  readonly authentication: Uint8Array;
}

const volumeSignature = '_FVH';
/** gEfiSystemNvDataFvGuid and gEfiAuthenticatedVariableGuid. */
const volumeGuid = 'fff12b8d-7696-4c8b-a985-2747075b4f50';
const storeGuid = 'aaf32c78-947b-439a-a180-2e144ec37792';
const storeHeaderBytes = 28;
const formatted = 0x5a;
const healthy = 0xfe;

/** AUTHENTICATED_VARIABLE_HEADER: 60 bytes, each variable begins at a multiple of 4. */
const headerBytes = 60;
const authenticationBytes = 28;
const startId = 0x55aa;
const added = 0x3f;
/** VAR_ADDED & VAR_IN_DELETED_TRANSITION: its successor was being written; it counts where there is none. */
const beingReplaced = 0x3e;

/** The variables in an OVMF_VARS file, in its order; throws where it is none or is damaged. */
export function readVariables(file: Uint8Array): readonly FirmwareVariable[] {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const { startByte, endByte } = storeIn(bytes);
  const found = new Map<string, FirmwareVariable & { readonly isReplaced: boolean }>();
  for (let position = startByte; position + headerBytes <= endByte; ) {
    if (bytes.readUInt16LE(position) !== startId) break;
    const state = bytes.readUInt8(position + 2);
    const nameBytes = bytes.readUInt32LE(position + 36);
    const dataBytes = bytes.readUInt32LE(position + 40);
    const nameStart = position + headerBytes;
    const end = nameStart + nameBytes + dataBytes;
    if (end > endByte) throw new Error(`the variable at byte ${position} is longer than the store`);
    const variable = {
      name: bytes.toString('utf16le', nameStart, nameStart + nameBytes).replace(/\0.*$/s, ''),
      namespace: formatGuid(bytes.subarray(position + 44, position + headerBytes)),
      attributes: bytes.readUInt32LE(position + 4),
      authentication: new Uint8Array(bytes.subarray(position + 8, position + 8 + authenticationBytes)),
      data: new Uint8Array(bytes.subarray(nameStart + nameBytes, end)),
      isReplaced: state === beingReplaced,
    };
    const key = keyOf(variable);
    const isShadowed = variable.isReplaced && found.has(key);
    if ((state === added || state === beingReplaced) && !isShadowed) found.set(key, variable);
    position = aligned(end);
  }
  return [...found.values()].map(({ isReplaced: _, ...variable }) => variable);
}

/** The file with these variables and no others; all else of it stays. Throws where they do not fit. */
export function writeVariables(file: Uint8Array, variables: readonly FirmwareVariable[]): Uint8Array {
  const bytes = Buffer.from(file);
  const { startByte, endByte } = storeIn(bytes);
  bytes.fill(0xff, startByte, endByte);
  let position = startByte;
  for (const variable of variables) {
    const encoded = encode(variable);
    if (position + encoded.length > endByte) throw new Error(`${variable.name} does not fit into the variable store`);
    encoded.copy(bytes, position);
    position = aligned(position + encoded.length);
  }
  return new Uint8Array(bytes);
}

/** The list with one variable set, in its old place where it was there. */
export function withVariable(
  variables: readonly FirmwareVariable[],
  variable: Omit<FirmwareVariable, 'authentication'>,
): readonly FirmwareVariable[] {
  const complete = { ...variable, authentication: new Uint8Array(authenticationBytes) };
  const isSame = (other: FirmwareVariable): boolean => keyOf(other) === keyOf(variable);
  return variables.some(isSame)
    ? variables.map((other) => (isSame(other) ? complete : other))
    : [...variables, complete];
}

export function withoutVariable(
  variables: readonly FirmwareVariable[],
  named: Pick<FirmwareVariable, 'name' | 'namespace'>,
): readonly FirmwareVariable[] {
  return variables.filter((other) => keyOf(other) !== keyOf(named));
}

export function findVariable(
  variables: readonly FirmwareVariable[],
  named: Pick<FirmwareVariable, 'name' | 'namespace'>,
): FirmwareVariable | undefined {
  return variables.find((other) => keyOf(other) === keyOf(named));
}

function keyOf({ name, namespace }: Pick<FirmwareVariable, 'name' | 'namespace'>): string {
  return `${namespace.toLowerCase()} ${name}`;
}

function storeIn(bytes: Buffer): { readonly startByte: number; readonly endByte: number } {
  const isVolume =
    bytes.length >= 64 &&
    bytes.toString('latin1', 40, 44) === volumeSignature &&
    formatGuid(bytes.subarray(16, 32)) === volumeGuid;
  if (!isVolume) throw new Error('this is no volume of firmware variables');
  const store = bytes.readUInt16LE(48);
  if (store + storeHeaderBytes > bytes.length || formatGuid(bytes.subarray(store, store + 16)) !== storeGuid)
    throw new Error('the volume holds no store of authenticated variables');
  const endByte = store + bytes.readUInt32LE(store + 16);
  if (bytes.readUInt8(store + 20) !== formatted || bytes.readUInt8(store + 21) !== healthy || endByte > bytes.length)
    throw new Error('the variable store is damaged');
  return { startByte: store + storeHeaderBytes, endByte };
}

function encode({ name, namespace, attributes, data, authentication }: FirmwareVariable): Buffer {
  const encodedName = Buffer.from(`${name}\0`, 'utf16le');
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16LE(startId, 0);
  header.writeUInt8(added, 2);
  header.writeUInt32LE(attributes, 4);
  header.set(authentication, 8);
  header.writeUInt32LE(encodedName.length, 36);
  header.writeUInt32LE(data.length, 40);
  header.set(guidBytes(namespace), 44);
  return Buffer.concat([header, encodedName, data]);
}

function aligned(position: number): number {
  return (position + 3) & ~3;
}
