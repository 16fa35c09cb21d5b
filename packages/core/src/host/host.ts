// The only door to a machine. Whatever runs before `execute` is typed with HostReader, which has no method that writes:
// "pretend writes nothing" is checked by the compiler.
import type { LivingTree } from './living-tree.ts';

/** Major and minor number of a block device or of the device that a file lies on. */
export interface DeviceNumber {
  readonly major: number;
  readonly minor: number;
}

export interface FileStatus {
  readonly kind: 'file' | 'directory' | 'symlink' | 'block-device' | 'character-device' | 'other';
  readonly sizeBytes: number;
  /** Permission bits only (0o7777). */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly modifiedMs: number;
  /** The device that the file lies on. */
  readonly device: DeviceNumber;
  /** The device that the file is, for device nodes. */
  readonly represents?: DeviceNumber;
}

/** Random access to bytes: a file, a block device, or a window into either. */
export interface ByteReader {
  readonly sizeBytes: number;
  /**
   * Fills `target` from `position` (bytes) and returns how many bytes were read: fewer than asked only at the end.
   */
  read(target: Uint8Array, position: number): Promise<number>;
  close(): Promise<void>;
}

/** A half-open range of bytes. */
export interface ByteRange {
  readonly startByte: number;
  readonly endByte: number;
}

/** A file or block device open for writing. Writes are complete or throw; they are durable after `flush`. */
export interface ByteWriter extends ByteReader {
  write(source: Uint8Array, position: number): Promise<void>;
  flush(): Promise<void>;
}

/** A file that grows as it is written; what is passed over stays a hole and reads as zeros. */
export interface GrowingFile extends ByteWriter {
  /** Sets the size in bytes: cuts the file there, or lets it end in a hole. */
  setSize(sizeBytes: number): Promise<void>;
}

/** A file that has no name until it is committed. Closed before, it is gone. */
export interface NewFile extends GrowingFile {
  /** Makes the contents durable, then gives them their name, durable too; throws `busy` where another run wrote it as well. */
  commit(): Promise<void>;
}

export interface FreeSpace {
  readonly availableBytes: number;
  readonly availableInodes: number;
}

export interface HostReader {
  /** Whole contents; throws `read-failed` beyond `limitBytes` (default 8 MiB) so that no file can exhaust memory. */
  readFile(path: string, options?: { limitBytes?: number }): Promise<Uint8Array>;
  /** As readFile, decoded as UTF-8; undefined where the file does not exist. */
  readText(path: string): Promise<string | undefined>;
  /** Sorted names in a directory; empty where it does not exist. */
  list(path: string): Promise<readonly string[]>;
  /** Status after following links; undefined where nothing is there. */
  status(path: string): Promise<FileStatus | undefined>;
  /** Status of the name itself, links not followed. */
  linkStatus(path: string): Promise<FileStatus | undefined>;
  /** Target of a symbolic link as it is written; undefined where there is no link. */
  readLink(path: string): Promise<string | undefined>;
  /** The path with all symbolic links resolved; undefined where nothing is there. */
  realPath(path: string): Promise<string | undefined>;
  freeSpace(path: string): Promise<FreeSpace>;
  openRead(path: string): Promise<ByteReader>;
  /** The files below a path, the path itself not followed where it is a link; undefined where nothing is there. */
  openTree(path: string): Promise<LivingTree | undefined>;
  /**
   * What the program zstd makes of the frames in `input`, for Node without a zstd of its own. It takes 32 MiB at the most, so
   * frames with a larger window are refused. Errors are those of runStream.
   */
  unzstd(input: AsyncIterable<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array>;
  /** Left out: Linux. */
  readonly system?: 'windows';
  /** How this system tells of its starts and processes; left out: as Linux does in /proc. */
  readonly processes?: {
    /** Changes at every start. */
    bootId(): Promise<string>;
    isAlive(processId: number): boolean;
  };
  /** User id that this process acts with. */
  readonly userId: number;
  /** Hardware name as `uname -m` gives it. */
  readonly machine: string;
  now(): Date;
}

export interface CommandOptions {
  readonly timeoutMs?: number;
  readonly input?: string;
  /** Sees what the program says on either stream as it comes, for progress. */
  readonly onOutput?: (text: string) => void;
}

export interface StreamOptions {
  /** What the program reads; none where it is left out. */
  readonly input?: AsyncIterable<Uint8Array>;
  /** Ends the program; `cancelled` is thrown. */
  readonly signal?: AbortSignal;
  /** Takes whatever the program says on stderr for a failure, as bzip2 only warns of garbage. */
  readonly refusesWarnings?: boolean;
}

export interface CommandResult {
  readonly stdout: string;
  readonly stderr: string;
}

export interface FileAttributes {
  readonly mode: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly modifiedMs?: number;
}

export interface MountRequest {
  readonly source: string;
  readonly target: string;
  readonly fileSystem: string;
  readonly options: readonly string[];
}

export interface Host extends HostReader {
  makeDirectory(path: string, mode: number): Promise<void>;
  /** Temporary file, fsync, rename, fsync of the directory: after a power cut the old or the new file is there. */
  writeDurable(path: string, contents: Uint8Array, attributes: FileAttributes): Promise<void>;
  /** Streams `source` into a new file that appears under its name only when complete and durable. */
  copyDurable(from: string, to: string, attributes: FileAttributes): Promise<void>;
  /** Overwrites a file in place without changing its size or blocks (GRUB's environment block), then fsyncs. */
  overwriteInPlace(path: string, contents: Uint8Array): Promise<void>;
  /** Writes a firmware variable file: one write call of the whole, no temporary file (efivarfs knows no rename). */
  writeVariableFile(path: string, contents: Uint8Array): Promise<void>;
  /** Removes a firmware variable; no error where it does not exist. efivarfs knows no other names beside it. */
  removeVariableFile(path: string): Promise<void>;
  setAttributes(path: string, attributes: FileAttributes): Promise<void>;
  /** Removes a file, and what an interrupted durable write of it left; no error where nothing is there. */
  removeFile(path: string): Promise<void>;
  /** Removes an empty directory; throws where it is not empty; no error where nothing is there. */
  removeDirectory(path: string): Promise<void>;
  /** Creates a file that must not exist, durable; throws `locked` where it does. */
  createExclusive(path: string, contents: Uint8Array, mode: number): Promise<void>;
  /** A file to be written piece by piece that appears as `path`, or replaces what is there, only when committed. */
  createFile(path: string, attributes: FileAttributes): Promise<NewFile>;
  /** A file without a name in `directory`, for what does not fit into memory; it is gone when closed, or when we are killed. */
  createScratchFile(directory: string): Promise<GrowingFile>;
  openWrite(path: string): Promise<ByteWriter>;
  /** A disk past the page cache as far as buffers and places are aligned; see alignedBuffers. */
  openDisk(path: string): Promise<ByteWriter>;
  /** Writes a file that must not exist, not durable until its file system is synced: for many files under a staging name. */
  writeNew(path: string, contents: Uint8Array, attributes: FileAttributes): Promise<void>;
  /** Makes a symbolic link that must not exist, not durable until its file system is synced. */
  makeSymlink(target: string, path: string): Promise<void>;
  /** Renames within a file system, not durable until it is synced; replaces a file, or an empty directory by a directory. */
  rename(from: string, to: string): Promise<void>;
  /**
   * Runs a program with an argument array, never through a shell; throws `command-failed` with the tail of stderr, `not-found`
   * where the program is not installed.
   */
  run(command: string, args: readonly string[], options?: CommandOptions): Promise<CommandResult>;
  /**
   * As run, for any amount of data and without a time limit: gives what the program writes to stdout, as fast as it is taken.
   * It throws after the last piece where the program failed; what was given until then is of no use. The program is ended
   * where the receiver stops early.
   */
  runStream(command: string, args: readonly string[], options?: StreamOptions): AsyncGenerator<Uint8Array>;
  mount(request: MountRequest): Promise<void>;
  unmount(target: string): Promise<void>;
  /** Writes back everything and empties the page cache, so that what is read next comes from the medium. */
  dropCaches(): Promise<void>;
  reboot(): Promise<void>;
}
