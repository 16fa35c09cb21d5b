// The part of init.sh that counts how often a lifeboat started, run by busybox on a file. A machine must neither give up too early
// nor restart for ever.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runInitFunctions } from '../init-functions.ts';

const sectorBytes = 512;
const boardSector = 12;
const volume = Buffer.alloc(16 * sectorBytes, 'x');

let directory = '';
let disk = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'starts-'));
  disk = join(directory, 'lifeboat');
  await writeFile(disk, volume);
});
afterEach(() => rm(directory, { recursive: true }));

/** Starts the lifeboat once. Stage 2 fails each time unless told otherwise; `more` stands for what else is different. */
function start(more = ''): Promise<string> {
  const script = `disk=$1 point=$2/point board_sector=${boardSector} board_limit=3 resume_limit=3
LIFEBOAT_UUID=0F0E-0D0C lifeboat_start='' uncounted=''
say() { echo "$*"; }
ends() { echo "ENDS: $*"; exit 0; }
restart() { ends "restart: $1"; }
wait_for_help() { ends "waits: $1"; }
offer_shell() { :; }
offer_file_system_programs() { :; }
drop_caches() { :; }
is_boarded() { :; }
find_device() { device=$disk; }
cat() { echo 2048; }
sleep() { :; }
run_stage2() { echo STAGE2; return 5; }
${more}
set +e
board
main`;
  return runInitFunctions(['read_starts', 'count_start', 'board', 'main'], script, [disk, directory]);
}

const runsOf = (said: string): number => said.match(/^STAGE2$/gm)?.length ?? 0;

describe('a lifeboat whose stage 2 fails', () => {
  it('starts three times, and waits for help the fourth time', async () => {
    for (const time of [1, 2, 3]) {
      const said = await start();
      expect(said).toContain(`the ${time}. time\n`);
      expect(said).toMatch(/ENDS: restart: .*it starts from the disk/);
      expect(runsOf(said)).toBe(4);
    }
    const said = await start();
    expect(said).toContain('ENDS: waits: the lifeboat started 4 times\n');
    expect(runsOf(said)).toBe(0);
    const found = await readFile(disk);
    found.fill('x', boardSector * sectorBytes, (boardSector + 1) * sectorBytes);
    expect(found.equals(volume)).toBe(true);
  });

  it.each([
    ['refuses to be written to', 'false'],
    ['forgets what it was told', 'true'],
  ])('waits for help instead of starting for ever where its disk %s', async (_, answer) => {
    const more = `dd() {
  case $* in *of=*) ${answer} ;; *) busybox dd "$@" ;; esac
}`;
    const said = await start(more);
    expect(said).toContain('the start could not be counted');
    expect(runsOf(said)).toBe(4);
    expect(said).toMatch(/ENDS: waits: stage 2 ended with status 5.*could not be counted/);
    expect((await readFile(disk)).equals(volume)).toBe(true);
  });

  it('still becomes the new system where it cannot be counted, but succeeds', async () => {
    const said = await start('dd() { false; }\nrun_stage2() { echo STAGE2; }');
    expect(said).toContain('ENDS: restart: stage 2 is done\n');
  });

  it('waits for a disk that comes late, and does not restart meanwhile', async () => {
    const more = `tries=0
find_device() {
  tries=$((tries + 1))
  device=$disk
  [ "$tries" -gt 2 ]
}
give_up() { ends "gives up: $1"; }`;
    const said = await start(more);
    expect(said.match(/^FAILED: no disk holds the lifeboat \(0F0E-0D0C\); .*waits/gm)).toHaveLength(2);
    expect(said).toContain('the 1. time\n');
  });
});
