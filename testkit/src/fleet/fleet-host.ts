// Hosts for fleet tests: Debian with sshd in namespaces of its own (network, processes, mounts, host name), on a throw-away layer
// over one unpacked system. They see no disk of this machine, so a migration cannot begin on them; pretending is real.
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { execa } from 'execa';
import { cached } from '../cached.ts';

const recipe = 1;
const packages = ['openssh-server', 'python3', 'iproute2', 'procps'];

function fleetRoot(): Promise<string> {
  return cached('fleet-root', { recipe, packages }, async (directory) => {
    const root = join(directory, 'root');
    const options = ['--variant=minbase', `--include=${packages.join(',')}`];
    await execa('debootstrap', [...options, 'bookworm', root, 'http://deb.debian.org/debian']);
    await mkdir(join(root, 'run/sshd'), { recursive: true });
  });
}

export interface FleetHost {
  readonly name: string;
  readonly address: string;
  /** Its root directory as this machine sees it. */
  readonly root: string;
  /** Starts sshd as its first process; resolves when it takes connections. */
  start(): Promise<void>;
  /** Runs a program in its network only, until the host is removed. */
  serve(command: readonly string[]): void;
  /** Resolves when its first process has ended, and with it all others. */
  ended(): Promise<void>;
  remove(): Promise<void>;
}

export interface FleetHostOptions {
  readonly name: string;
  /** 1 to 250: its network is 10.211.NUMBER.0/30. */
  readonly number: number;
  readonly directory: string;
  /** Of the only user that may log in, root. */
  readonly publicKey: string;
}

const sshdOptions = ['-D', '-e', '-o', 'UsePAM=no', '-o', 'PasswordAuthentication=no', '-o', 'UseDNS=no'];

/** What a system has under /dev that runs on no disk. */
const devices = [
  ['null', '1', '3'],
  ['zero', '1', '5'],
  ['random', '1', '8'],
  ['urandom', '1', '9'],
  ['tty', '5', '0'],
] as const;

export async function makeFleetHost({ name, number, directory, publicKey }: FleetHostOptions): Promise<FleetHost> {
  const place = join(directory, name);
  const root = join(place, 'root');
  const network = `fleet-${process.pid}-${number}`;
  // Names of interfaces have 15 characters at the most.
  const [outside, inside] = [`fl${process.pid}o${number}`, `fl${process.pid}i${number}`];
  const address = `10.211.${number}.2`;
  for (const part of ['upper', 'work', 'root']) await mkdir(join(place, part), { recursive: true });
  const lower = join(await fleetRoot(), 'root');
  const layers = `lowerdir=${lower},upperdir=${join(place, 'upper')},workdir=${join(place, 'work')}`;
  await execa('mount', ['-t', 'overlay', '-o', layers, 'overlay', root]);
  await execa('mount', ['-t', 'tmpfs', '-o', 'mode=755', 'tmpfs', join(root, 'dev')]);
  for (const [device, major, minor] of devices) {
    await execa('mknod', ['-m', '666', join(root, 'dev', device), 'c', major, minor]);
  }
  await mkdir(join(root, 'root/.ssh'), { mode: 0o700, recursive: true });
  await writeFile(join(root, 'root/.ssh/authorized_keys'), publicKey, { mode: 0o600 });
  await writeFile(join(root, 'etc/hostname'), `${name}\n`);
  await execa('ip', ['netns', 'add', network]);
  await execa('ip', ['link', 'add', outside, 'type', 'veth', 'peer', 'name', inside, 'netns', network]);
  await execa('ip', ['address', 'add', `10.211.${number}.1/30`, 'dev', outside]);
  await execa('ip', ['link', 'set', outside, 'up']);
  for (const command of [
    ['address', 'add', `${address}/30`, 'dev', inside],
    ['link', 'set', inside, 'up'],
    ['link', 'set', 'lo', 'up'],
  ])
    await execa('ip', ['-n', network, ...command]);

  const processes: { readonly child: ChildProcess; readonly end: Promise<void> }[] = [];
  const inNetwork = (command: readonly string[]): Promise<void> => {
    const child = spawn('ip', ['netns', 'exec', network, ...command], { stdio: 'ignore' });
    const end = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    processes.push({ child, end });
    return end;
  };
  let system: Promise<void> = Promise.resolve();
  return {
    name,
    address,
    root,
    start: async () => {
      const namespaces = ['--mount', '--pid', '--uts', '--fork', '--kill-child', `--mount-proc=${join(root, 'proc')}`];
      const setUp = `mount -t sysfs -o ro sysfs "$1/sys" && hostname "$2" && exec chroot "$1" /usr/sbin/sshd ${sshdOptions.join(' ')}`;
      system = inNetwork(['unshare', ...namespaces, 'sh', '-c', setUp, 'host', root, name]);
      await untilOpen(address);
    },
    serve: (command) => void inNetwork(command),
    ended: () => system,
    remove: async () => {
      for (const { child } of processes) child.kill('SIGKILL');
      for (const { end } of processes) await end;
      await execa('umount', [join(root, 'dev')]);
      await execa('umount', [root]);
      await execa('ip', ['netns', 'delete', network]);
      await rm(place, { recursive: true });
    },
  };
}

async function untilOpen(address: string): Promise<void> {
  for (let round = 0; round < 100; round += 1) {
    const { stdout } = await execa('ssh-keyscan', ['-T', '1', '-t', 'ed25519', address], { reject: false });
    if (stdout.includes('ssh-ed25519')) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error(`no sshd answers at ${address}`);
}
