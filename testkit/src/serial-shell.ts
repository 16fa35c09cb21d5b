// Runs programs in a machine that has nothing but a serial console: a small script of the old system reads scripts from it and
// answers with what they printed. The kernel must be quiet meanwhile, or its messages fall into an answer; that is noticed.
import type { Machine, RunOptions, RunResult } from './machine.ts';
import type { SerialLog } from './serial-log.ts';

/** Where the script goes in the old system. It needs a POSIX shell, coreutils (or busybox), and /run. */
export const serialAgentPath = '/usr/local/sbin/serial-agent';

/** Its one argument is the terminal. A line is longer than a terminal in line mode takes, so that one is raw. */
export const serialAgent = `#!/bin/sh
# Lines: "+ BASE64" is a part of a script, "! ID BYTES" runs what has come. Answers: see testkit/src/serial-shell.ts.
exec <"$1" >"$1"
stty raw -echo
d=/run/serial-agent
mkdir -p $d; : >$d/base64
dmesg -n 1
echo
echo AGENT-READY
while read -r word id bytes; do
  case $word in
    +) printf %s "$id" >>$d/base64 ;;
    !)
      base64 -d <$d/base64 >$d/script
      : >$d/base64
      : >$d/out
      : >$d/err
      status=garbled
      if [ "$(wc -c <$d/script)" -eq "$bytes" ]; then
        sh $d/script >$d/out 2>$d/err </dev/null
        status=$?
      fi
      out=$(base64 -w 0 <$d/out) err=$(base64 -w 0 <$d/err)
      printf '\\nAGENT-END %s %s %s %s %s,%s,\\n' "$id" $status \${#out} \${#err} "$out" "$err"
      ;;
  esac
done
`;

const lineBytes = 1000;

export type SerialShell = Pick<Machine, 'run' | 'runShell' | 'writeFile' | 'waitForAgent'> & {
  /** Forgets the agent that was there: the machine starts anew. */
  restarted(): void;
};

/** The agent's other end. `send` types at the console. */
export function serialShell({ log, send }: { log: SerialLog; send: (text: string) => void }): SerialShell {
  let startOfSystem = 0;
  let lastId = 0;
  let queue: Promise<unknown> = Promise.resolve();

  const isReady = (): boolean => log.text().indexOf('AGENT-READY', startOfSystem) >= 0;

  const exchange = async (script: string, { timeoutMs = 120_000 }: RunOptions): Promise<RunResult> => {
    lastId += 1;
    const from = log.text().length;
    const encoded = Buffer.from(script).toString('base64');
    for (let at = 0; at < encoded.length; at += lineBytes) send(`+ ${encoded.slice(at, at + lineBytes)}\n`);
    send(`! ${lastId} ${Buffer.byteLength(script)}\n`);
    const answer = new RegExp(
      `AGENT-END ${lastId} (\\w+) (\\d+) (\\d+) ([A-Za-z0-9+/=]*),([A-Za-z0-9+/=]*),|AGENT-END ${lastId} .*\\n`,
    );
    const endMs = Date.now() + timeoutMs;
    for (;;) {
      const match = answer.exec(log.text().slice(from));
      if (match !== null) return parseAnswer(match);
      if (Date.now() > endMs) {
        const tail = log.text().slice(-2000);
        throw new Error(`no answer in ${timeoutMs} ms to ${script}; the console ended with\n${tail}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };

  const runScript = (script: string, options: RunOptions): Promise<RunResult> => {
    const result = queue.then(() => exchange(script, options));
    queue = result.catch(() => undefined);
    return result;
  };

  const runShell: Machine['runShell'] = async (script, options = {}) => {
    const result = await runScript(script, options);
    if (result.exitCode !== 0)
      throw new Error(`exit ${result.exitCode} of ${script}\n${result.stdout}\n${result.stderr}`);
    return result;
  };

  return {
    run: (command, args = [], options = {}) => runScript(`exec ${[command, ...args].map(quoted).join(' ')}`, options),
    runShell,
    writeFile: async (path, contents) => {
      const encoded = Buffer.from(contents).toString('base64');
      await runShell(`printf %s ${encoded} | base64 -d >${quoted(path)}`);
    },
    waitForAgent: async ({ timeoutMs = 240_000 } = {}) => {
      const endMs = Date.now() + timeoutMs;
      while (!isReady()) {
        if (Date.now() > endMs)
          throw new Error(`the old system was not up in ${timeoutMs} ms\n${log.text().slice(-4000)}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
    restarted: () => {
      startOfSystem = log.text().length;
      queue = Promise.resolve();
    },
  };
}

function parseAnswer([whole, status, outBytes, errBytes, out = '', err = '']: RegExpExecArray): RunResult {
  if (status === 'garbled') throw new Error('the script did not reach the machine as it was sent');
  if (out.length !== Number(outBytes) || err.length !== Number(errBytes))
    throw new Error(`something else was printed into an answer: ${whole.slice(0, 500)}`);
  const decode = (text: string): string => Buffer.from(text, 'base64').toString();
  return { exitCode: Number(status), stdout: decode(out), stderr: decode(err) };
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
