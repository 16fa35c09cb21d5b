// ARM's programs on this machine: qemu-user behind a binfmt_misc of a user and mount namespace of its own, so that the
// machine's stays as it is. Kernels since 6.7 give each user namespace one.

import { execa } from 'execa';

/** ELF header up to e_machine, and which of its bits count: as qemu's own scripts/qemu-binfmt-conf.sh has them. */
const interpreters = [
  {
    name: 'arm',
    magic: '7f454c4601010100000000000000000002002800',
    mask: 'ffffffffffffff00fffffffffffffffffeffffff',
    program: '/usr/bin/qemu-arm-static',
  },
  {
    name: 'aarch64',
    magic: '7f454c460201010000000000000000000200b700',
    mask: 'ffffffffffffff00fffffffffffffffffeffffff',
    program: '/usr/bin/qemu-aarch64-static',
  },
] as const;

export type ArmName = (typeof interpreters)[number]['name'];

const hexBytes = (hex: string): string => hex.replaceAll(/../g, '\\x$&');

// F: the interpreter is opened now, so that it works in a chroot without it.
const registration = ({ name, magic, mask, program }: (typeof interpreters)[number]) =>
  `:${name}:M::${hexBytes(magic)}:${hexBytes(mask)}:${program}:F`;

/** For the names before `--`. */
const script = `set -e
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
while [ "$1" != -- ]; do
  printf %s "$1" >/proc/sys/fs/binfmt_misc/register
  shift
done
shift
exec chroot "$@"`;

export interface ArmUserOptions {
  /** Whose programs are run; both by default. */
  readonly runs?: readonly ArmName[];
  /** What uname(2) answers. */
  readonly kernelRelease?: string;
  readonly timeoutSeconds?: number;
}

/** Runs a command in a root directory of ARM's programs, with next to no environment. At the time-out all its children end too. */
export async function runArm(
  root: string,
  command: readonly string[],
  { runs = ['arm', 'aarch64'], kernelRelease, timeoutSeconds = 100 }: ArmUserOptions = {},
): Promise<{ readonly exitCode: number | undefined; readonly stdout: string; readonly stderr: string }> {
  const namespace = ['--user', '--map-root-user', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const registrations = interpreters.filter(({ name }) => runs.includes(name)).map(registration);
  const chroot = ['sh', '-c', script, 'sh', ...registrations, '--', root, ...command];
  const { exitCode, stdout, stderr } = await execa('unshare', [...namespace, ...chroot], {
    env: {
      PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
      ...(kernelRelease === undefined ? {} : { QEMU_UNAME: kernelRelease }),
    },
    extendEnv: false,
    reject: false,
    cwd: '/',
    timeout: timeoutSeconds * 1000,
    killSignal: 'SIGKILL',
  });
  return { exitCode, stdout, stderr };
}
