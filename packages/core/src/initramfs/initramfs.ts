// The initramfs of stage 2: busybox, the init script, its settings, and the kernel modules of this machine. Everything lies
// below one directory of its own: an entry for /lib or /bin would replace the links of an initramfs unpacked before it.
import { Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { doing, MigrateError } from '../error.ts';
import type { HostReader } from '../host/host.ts';
import { type CpioEntry, writeCpio } from './cpio.ts';
import { decompressModule } from './module-decompress.ts';

/** What init must know before it can reach the plan. Written by stage 1 into /migrate/boot.conf. */
export interface Stage2BootSettings {
  /** UUID of the file system that holds the payload, as /dev/disk/by-uuid writes it. */
  readonly payloadUuid: string;
  /** Its type, as mount -t takes it. */
  readonly payloadFileSystem: string;
  /** Directory of the payload, absolute within that file system. */
  readonly payloadPath: string;
  /** Seconds after which init gives way to the old system unless the point of no return was passed. */
  readonly timeoutSeconds: number;
  /** Id of the plan in the payload; init refuses any other. */
  readonly planId: string;
  /** UUID of the lifeboat's file system, where there is one. */
  readonly lifeboatUuid?: string;
  /** Left out: init restarts the machine when it gives up. */
  readonly failMode?: 'rescue-shell';
  /** What init does with watchdogs that run. */
  readonly watchdogs?: readonly WatchdogDuty[];
  /** What init puts back first, where the boot manager knows no one-shot. */
  readonly restore?: BootRestore;
}

/** What init does with one watchdog from its start on. */
export interface WatchdogDuty {
  /** What its driver calls it in sysfs; its device's name where the driver has no such attribute: "watchdog0". */
  readonly identity: string;
  /** `feed`: keep it from resetting the machine; `stop`: end it with the magic character. */
  readonly action: 'feed' | 'stop';
  /** The longest time between two feedings. */
  readonly intervalSeconds: number;
}

/** A change of a file within one sector of 512 bytes: a power cut leaves the old or the new one, also on FAT. */
export interface SectorChange {
  /** Where that sector starts in the file. */
  readonly offsetBytes: number;
  /** The sector, or what the file has of it, before and after; base64, of equal length. */
  readonly original: string;
  readonly armed: string;
}

/** The change by which stage 1 starts stage 2, and the file it was made in. */
export interface BootRestore extends SectorChange {
  /** UUID of the file system that holds the file, and its type. */
  readonly uuid: string;
  readonly fileSystem: string;
  /** Absolute within that file system. */
  readonly path: string;
}

export interface InitramfsParts {
  readonly host: HostReader;
  /** In load order. */
  readonly modules: readonly { readonly name: string; readonly path: string }[];
  /** Path of a static busybox. */
  readonly busybox: string;
  /** Path of the init script. */
  readonly init: string;
  /** Path of the script that gets an address for the log; left out: there is none. */
  readonly network?: string;
  readonly settings: Stage2BootSettings;
}

const top = 'migrate';
const fileLimitBytes = 64 * 1024 * 1024;
/** Longer than any migration takes before it writes; a timer beyond it would be no timer. */
const timeoutLimitSeconds = 7 * 24 * 3600;

/**
 * The initramfs as a gzip-compressed cpio archive, which every kernel with initramfs support unpacks; start it with
 * rdinit=/migrate/init. Equal parts give equal bytes. Throws `invalid-input` for unusable settings or module files.
 */
export async function buildInitramfs(parts: InitramfsParts): Promise<Uint8Array> {
  return doing('building the initramfs', 'read-failed', async () => {
    const gzip = createGzip({ level: 6 });
    const source = Readable.from(writeCpio(initramfsEntries(parts)));
    source.on('error', (thrown) => gzip.destroy(thrown));
    const chunks: Uint8Array[] = [];
    for await (const chunk of source.pipe(gzip)) chunks.push(chunk as Uint8Array);
    return Buffer.concat(chunks);
  });
}

/** One module at a time is in memory. */
async function* initramfsEntries({
  host,
  modules,
  busybox,
  init,
  network,
  settings,
}: InitramfsParts): AsyncGenerator<CpioEntry> {
  const text = (path: string, contents: string): CpioEntry => ({
    path,
    mode: 0o600,
    node: { kind: 'file', contents: new TextEncoder().encode(contents) },
  });
  const binary = (path: string, base64: string): CpioEntry => ({
    path,
    mode: 0o600,
    node: { kind: 'file', contents: Buffer.from(base64, 'base64') },
  });
  const program = async (path: string, from: string): Promise<CpioEntry> => ({
    path,
    mode: 0o755,
    node: { kind: 'file', contents: await host.readFile(from, { limitBytes: fileLimitBytes }) },
  });
  // The kernel opens it for init before there is a devtmpfs (init/main.c); without it init would be silent.
  yield { path: 'dev/console', mode: 0o600, node: { kind: 'character-device', major: 5, minor: 1 } };
  yield text(`${top}/boot.conf`, renderBootSettings(settings));
  yield await program(`${top}/busybox`, busybox);
  yield await program(`${top}/init`, init);
  if (network !== undefined) yield await program(`${top}/network`, network);
  if (settings.restore !== undefined) {
    yield binary(`${top}/boot-armed`, settings.restore.armed);
    yield binary(`${top}/boot-original`, settings.restore.original);
  }
  yield text(`${top}/modules/order`, modules.map(({ name }) => `${checkedModuleName(name)}\n`).join(''));
  for (const { name, path } of modules) {
    const packed = await host.readFile(path, { limitBytes: fileLimitBytes });
    const contents = await decompressModule(path, packed);
    yield { path: `${top}/modules/${name}.ko`, mode: 0o600, node: { kind: 'file', contents } };
  }
}

/** Shell assignments for init, in single quotes. Throws `invalid-input` for any value that has no plain form. */
export function renderBootSettings(settings: Stage2BootSettings): string {
  const { timeoutSeconds } = settings;
  if (!Number.isInteger(timeoutSeconds) || timeoutSeconds < 1 || timeoutSeconds > timeoutLimitSeconds) {
    throw new MigrateError(
      'invalid-input',
      `timeoutSeconds ${timeoutSeconds} is not between 1 and ${timeoutLimitSeconds}`,
    );
  }
  const isPath = (path: string): boolean =>
    /^(\/[\w.@+,:=~ -]+)+$/.test(path) && !path.split('/').some((name) => name === '.' || name === '..');
  const isUuid = (uuid: string): boolean => /^[0-9A-Fa-f]{4,12}(-[0-9A-Fa-f]{4,12}){1,4}$/.test(uuid);
  const isFileSystem = (name: string): boolean => /^[a-z][a-z0-9_]{0,15}$/.test(name);
  const values: (readonly [name: string, value: string, isUsable: boolean])[] = [
    ['PAYLOAD_UUID', settings.payloadUuid, isUuid(settings.payloadUuid)],
    ['PAYLOAD_FILE_SYSTEM', settings.payloadFileSystem, isFileSystem(settings.payloadFileSystem)],
    ['PAYLOAD_PATH', settings.payloadPath, isPath(settings.payloadPath)],
    ['TIMEOUT_SECONDS', String(timeoutSeconds), true],
    ['PLAN_ID', settings.planId, /^[A-Za-z0-9-]{1,64}$/.test(settings.planId)],
  ];
  if (settings.lifeboatUuid !== undefined)
    values.push(['LIFEBOAT_UUID', settings.lifeboatUuid, isUuid(settings.lifeboatUuid)]);
  if (settings.failMode !== undefined) values.push(['FAIL_MODE', settings.failMode, true]);
  const { restore, watchdogs = [] } = settings;
  if (watchdogs.length > 0) values.push(['WATCHDOGS', watchdogs.map(wordsOf).join(' '), watchdogs.every(isDuty)]);
  if (restore !== undefined) {
    const sector = restore.offsetBytes / 512;
    values.push(
      ['RESTORE_UUID', restore.uuid, isUuid(restore.uuid)],
      ['RESTORE_FILE_SYSTEM', restore.fileSystem, isFileSystem(restore.fileSystem)],
      ['RESTORE_PATH', restore.path, isPath(restore.path)],
      ['RESTORE_SECTOR', String(sector), Number.isInteger(sector) && sector >= 0],
    );
  }
  return values
    .map(([name, value, isUsable]) => {
      if (!isUsable) throw new MigrateError('invalid-input', `${name} of stage 2 cannot be ${JSON.stringify(value)}`);
      return `${name}='${value}'\n`;
    })
    .join('');
}

/** The name as init's watchdog_name gives it: one word. */
const wordsOf = ({ identity, action, intervalSeconds }: WatchdogDuty): string =>
  `${identity.replace(/[^A-Za-z0-9._-]/g, '_').replace(/_+$/, '')} ${action} ${intervalSeconds}`;

function isDuty({ identity, intervalSeconds }: WatchdogDuty): boolean {
  return (
    /^(?=.*[A-Za-z0-9])[\x20-\x7e]{1,64}$/.test(identity) && Number.isInteger(intervalSeconds) && intervalSeconds >= 1
  );
}

function checkedModuleName(name: string): string {
  if (!/^[A-Za-z0-9_]+$/.test(name))
    throw new MigrateError('invalid-input', `${JSON.stringify(name)} is no module name`);
  return name;
}
