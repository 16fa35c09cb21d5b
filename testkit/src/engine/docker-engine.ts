// A dockerd of Debian's docker.io with a data root, socket and state of its own, and no network.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';

export interface Engine {
  readonly root: string;
  /** Address for a docker client. */
  readonly socket: string;
  /** Runs a docker command and returns its stdout without the final newline; throws with its stderr. */
  docker(...args: readonly string[]): Promise<string>;
  stop(): Promise<void>;
}

const startLimitMs = 30_000;
/** Debian's own client, whatever else is installed: the classic builder must be known to it. */
const client = '/usr/bin/docker';

/** Starts an engine on `root` (made where it is missing) and waits until it answers. */
export async function startEngine(root: string): Promise<Engine> {
  await mkdir(root, { recursive: true });
  const state = await mkdtemp(join(tmpdir(), 'engine-'));
  const socket = `unix://${state}/socket`;
  const log = openSync(join(state, 'log'), 'w');
  const options = ['--data-root', root, '--exec-root', join(state, 'run'), '--host', socket];
  const quiet = ['--pidfile', join(state, 'pid'), '--iptables=false', '--ip6tables=false', '--bridge=none'];
  const child = spawn('dockerd', [...options, ...quiet, '--storage-driver', 'overlay2'], {
    stdio: ['ignore', log, log],
  });
  closeSync(log);
  const ended = once(child, 'close');
  const docker = async (...args: readonly string[]): Promise<string> =>
    (await execa(client, ['--host', socket, ...args], { env: { DOCKER_BUILDKIT: '0', DOCKER_CONFIG: state } })).stdout;
  const stop = async (): Promise<void> => {
    if (child.exitCode === null) child.kill('SIGTERM');
    await ended;
    await rm(state, { recursive: true, force: true });
  };
  for (const start = Date.now(); ; ) {
    if (
      await docker('version').then(
        () => true,
        () => false,
      )
    )
      return { root, socket, docker, stop };
    if (child.exitCode !== null || Date.now() - start > startLimitMs) {
      const text = await readFile(join(state, 'log'), 'utf8');
      await stop();
      throw new Error(`dockerd did not start:\n${text.slice(-4000)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** Runs `action` with an engine on `root` and stops it. */
export async function withEngine<T>(root: string, action: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await startEngine(root);
  try {
    return await action(engine);
  } finally {
    await engine.stop();
  }
}
