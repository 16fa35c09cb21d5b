// A bundle whose program only answers as migrate does, for hosts that nothing can be migrated on: it says yes to every machine,
// and keeps a record of how it was called. What it prints has the shape of what the real one prints (docs/exit-codes-and-json.md).
import { chmod, copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Files on a host by which a test decides what the stand-in says. */
export const refuseMark = '/etc/stand-in-refuses';
export const failMark = '/etc/stand-in-fails';
export const stateFile = '/var/lib/stand-in-state';
export const callsFile = '/var/log/stand-in-calls';
/** Stands for reboot(8): it ends the first process of the host, and with it all others. */
export const rebootProgram = '/usr/local/sbin/end-of-host';

const program = `#!/bin/sh
echo "$*" >>${callsFile}
state=$(cat ${stateFile} 2>/dev/null || echo '{"state":"none"}')
case "$*" in
  'status --json') echo "$state" ;;
  *'--mode pretend'*'--json'*)
    if [ -e ${refuseMark} ]; then
      echo '{"findings":[{"severity":"error","code":"memory","where":"memory","message":"the image does not fit","hint":"Use zstd"}]}'
      exit 3
    fi
    echo '{"plan":{"id":"stand-in"},"findings":[]}' ;;
  *'--mode immediate --yes --no-reboot --json'*)
    if [ -e ${failMark} ]; then
      echo '{"kind":"finished","outcome":"undone","planId":"stand-in"}'
      echo 'migrate: writing: no space left; everything was taken back' >&2
      exit 4
    fi
    echo '{"state":"armed"}' >${stateFile}
    echo '{"kind":"finished","outcome":"done","planId":"stand-in"}' ;;
  *) exit 2 ;;
esac
`;

/** Makes the bundle in `directory` and returns its path. */
export async function makeStandInBundle(directory: string): Promise<string> {
  const bundle = join(directory, 'migrate-linux-x64');
  await mkdir(join(bundle, 'app'), { recursive: true });
  await mkdir(join(bundle, 'runtime'));
  for (const path of ['app/migrate.js', 'app/stage2.js', 'app/init', 'runtime/node'])
    await writeFile(join(bundle, path), 'stand-in\n');
  await copyFile('/bin/busybox', join(bundle, 'runtime/busybox'));
  await writeFile(join(bundle, 'migrate'), program);
  await chmod(join(bundle, 'migrate'), 0o755);
  return bundle;
}

/** What the test puts in the place of reboot(8) on a host; there is no such program on this machine. */
export const rebootScript = '#!/bin/sh\nkill -TERM 1\n';
