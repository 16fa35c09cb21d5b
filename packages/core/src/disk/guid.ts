// GUIDs as UEFI and GPT store them: the first three fields are little-endian (UEFI specification 2.10, appendix A).

/** A GUID in its mixed-endian binary form as lower-case text. */
export function formatGuid(bytes: Uint8Array): string {
  const hex = (from: number, to: number, reversed = false): string => {
    const part = Buffer.from(bytes.subarray(from, to));
    return (reversed ? part.reverse() : part).toString('hex');
  };
  return `${hex(0, 4, true)}-${hex(4, 6, true)}-${hex(6, 8, true)}-${hex(8, 10)}-${hex(10, 16)}`;
}

/** The mixed-endian binary form of a GUID (UEFI specification 2.10 appendix A). */
export function guidBytes(guid: string): Uint8Array {
  const [a = '', b = '', c = '', d = '', e = ''] = guid.split('-');
  const reversed = (hex: string): Buffer => Buffer.from(hex, 'hex').reverse();
  return Buffer.concat([reversed(a), reversed(b), reversed(c), Buffer.from(d, 'hex'), Buffer.from(e, 'hex')]);
}
