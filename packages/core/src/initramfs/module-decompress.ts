// Kernel modules as the kernel takes them: busybox insmod cannot unpack every format that distributions install.
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { doing, MigrateError, messageOf } from '../error.ts';
import { unpackXz, xzPlainBytes } from './xz.ts';
import { readZstandardHeader, unpackZstandard } from './zstandard.ts';

/** No module of any distribution comes near; protects against a file that would unpack without end. */
const moduleLimitBytes = 64 * 1024 * 1024;
/** Header and trailer of an empty file, RFC 1952. */
const gzipShortestBytes = 18;

/**
 * The plain ELF module from the bytes of a .ko, .ko.gz, .ko.xz or .ko.zst file; the path says which.
 * Throws `invalid-input`, naming the file, for damaged data and modules beyond 64 MiB.
 */
export async function decompressModule(path: string, bytes: Uint8Array): Promise<Uint8Array> {
  return doing(`unpacking ${path} (should it be damaged, reinstall the kernel package)`, 'invalid-input', async () => {
    const plain = await unpack(path, bytes);
    if (plain.length > moduleLimitBytes) {
      throw new MigrateError('invalid-input', `it is larger than ${moduleLimitBytes} bytes`);
    }
    if (Buffer.from(plain.subarray(0, 4)).toString('latin1') !== '\x7fELF') {
      throw new MigrateError('invalid-input', 'it is no kernel module');
    }
    return plain;
  });
}

/** Size in bytes that a module has once unpacked; without unpacking it where header, index or trailer say it. */
export async function plainModuleBytes(path: string, bytes: Uint8Array): Promise<number> {
  return doing(`examining ${path} (should it be damaged, reinstall the kernel package)`, 'invalid-input', async () => {
    if (path.endsWith('.xz')) return xzPlainBytes(bytes);
    // The last field of RFC 1952; modules are far smaller than the 4 GiB at which it wraps.
    if (path.endsWith('.gz') && bytes.length >= gzipShortestBytes) {
      return Buffer.from(bytes.subarray(-4)).readUInt32LE(0);
    }
    const known = path.endsWith('.zst') ? readZstandardHeader(bytes).contentBytes : undefined;
    return known ?? (await unpack(path, bytes)).length;
  });
}

async function unpack(path: string, bytes: Uint8Array): Promise<Uint8Array> {
  if (path.endsWith('.ko')) return bytes;
  if (path.endsWith('.xz')) return unpackXz(bytes, moduleLimitBytes);
  if (path.endsWith('.zst')) return unpackZstandard(bytes, moduleLimitBytes);
  if (!path.endsWith('.gz')) throw new MigrateError('unsupported', 'a module compressed in an unknown way');
  try {
    return await promisify(gunzip)(bytes, { maxOutputLength: moduleLimitBytes });
  } catch (thrown) {
    throw new MigrateError('invalid-input', messageOf(thrown), { cause: thrown });
  }
}
