// The initramfs of stage 2 on a real Debian kernel: what init does when stage 2 succeeds, fails, hangs, or is not there.

import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { moduleClosure, parseModuleIndex } from '@migrate/core';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  debianKernel,
  init,
  type KernelTree,
  network,
  networkMac,
  point,
  runStage2,
  type Scenario,
  uuid,
} from './stage2-machine.ts';

let work: string;
let kernel: KernelTree;

beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), 'initramfs-'));
  kernel = await debianKernel();
});

afterAll(() => rm(work, { recursive: true, force: true }));

const run = (scenario: Scenario, until?: RegExp) => runStage2({ kernel, work }, scenario, until);
const showArguments = 'echo "STAGE2 $*"';

test.each([init, network])('ShellCheck finds nothing in %s', async (script) => {
  expect((await execa('shellcheck', [script])).stdout).toBe('');
});

// Most of them wait for something.
describe.concurrent('init', () => {
  test('loads the payload, runs stage 2 from RAM and restarts when it is done', async () => {
    const script = `${showArguments}
echo "MOUNT $(grep /migrate/old /proc/mounts)"
echo "RUNS $0 ENVIRONMENT $(env | sort | tr '\\n' ' ')"
truncate -s 40M /image && mkdosfs /image && mkdir /fat && mount -o loop -t vfat /image /fat && echo FAT-MOUNTED
echo "PARAMETER $(cat /sys/module/loop/parameters/max_loop)"
cat /proc/sys/kernel/ctrl-alt-del | sed s/^/CAD/
umount /migrate/old && echo RELEASED
exit 0`;
    const result = await run({ stage2: script, kernelArguments: ['loop.max_loop=3'] });
    const payload = '/migrate/payload';
    expect(result.log).toContain(
      `STAGE2 --library-path ${payload}/runtime/lib ${payload}/runtime/node --expose-gc --single-threaded-gc --max-semi-space-size=1 --max-old-space-size=64 ` +
        `${payload}/app/stage2.js --plan ${payload}/plan.json --old-root /migrate/old --old-root-device /dev/vda\n`,
    );
    expect(result.log).toMatch(/MOUNT \/dev\/vda \/migrate\/old ext4 ro,/);
    expect(result.log).toContain(
      `RUNS ${payload}/runtime/ld.so ENVIRONMENT HOME=/ PATH=/migrate/bin PWD=/ SHLVL=1 UV_USE_IO_URING=0 `,
    );
    expect(result.log).toContain('FAT-MOUNTED\nPARAMETER 3\nCAD0\nRELEASED\n');
    expect(result.log).toContain(`migrate: stage 2 init, Linux ${kernel.release}\n`);
    expect(result.log).toContain('migrate: stage 2 is done; restarting\n');
    // The emulated processor lacks what this one needs.
    expect([...result.log.matchAll(/module (\S+) was not loaded/g)].map((match) => match[1])).toEqual(['crc32c_intel']);
    expect(result.log).not.toContain('FAILED');
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });

  test.each(['xfs', 'vfat'] as const)('takes the payload from %s', async (fileSystem) => {
    const result = await run({ stage2: 'grep /migrate/old /proc/mounts; exit 0', fileSystem });
    expect(result.log).toMatch(new RegExp(`/dev/vda /migrate/old ${fileSystem} ro,`));
    expect(result.log).toContain('stage 2 is done; restarting\n');
    // XFS clears the free part of its log at every mount, read-only or not (xlog_clear_stale_blocks).
    if (fileSystem === 'xfs') await execa('xfs_repair', ['-n', result.disk]);
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: fileSystem !== 'xfs' });
  });

  test('gives way to the old system when stage 2 fails before the point of no return', async () => {
    const result = await run({ stage2: 'exit 3' });
    expect(result.log).toContain('FAILED: stage 2 ended with status 3 before the point of no return');
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });

  test('gives way when stage 2 takes too long, and stops it before it decides', async () => {
    const script = 'trap "" TERM INT HUP; while :; do echo WORKING; sleep 0.2; done';
    const result = await run({ stage2: script, timeoutSeconds: 8 });
    const [before, after] = result.log.split('FAILED: the point of no return was not reached within 8 s');
    expect(before).toContain('WORKING\n');
    expect(after).toContain('the old system starts again; restarting');
    expect(after).not.toContain('WORKING');
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });

  test('after the point of no return it starts stage 2 again, and then waits instead of restarting', async () => {
    // The first run outlasts the timer, which must leave it alone.
    const script = `${showArguments}
case $* in *--resume) exit 5 ;; esac
: >${point}
sleep 12
echo STILL-HERE
exit 4`;
    const result = await run({ stage2: script, timeoutSeconds: 8 }, /so the machine waits/);
    expect(result.log).toContain('STILL-HERE\nmigrate: stage 2 ended with status 4; starting it again, 1 of 3\n');
    expect(result.log.match(/^STAGE2 .*$/gm)).toHaveLength(4);
    expect(result.log.match(/^STAGE2 .* --resume$/gm)).toHaveLength(3);
    expect(result.log).not.toMatch(/restarting/);
    expect(result.restarted).toBe(false);
  });

  test('restarts when stage 2 succeeds at a later start', async () => {
    const result = await run({ stage2: `case $* in *--resume) exit 0 ;; esac; : >${point}; kill -9 $$` });
    expect(result.log).toMatch(
      /ended with status 137; starting it again, 1 of 3\n[\s\S]*stage 2 is done; restarting\n/,
    );
    expect(result.restarted).toBe(true);
  });

  test.each<[string, Scenario, RegExp]>([
    [
      'there is no payload',
      { stage2: 'exit 0', settings: { payloadPath: '/elsewhere' } },
      /the payload is not complete: \/elsewhere\/runtime\/node is missing on \/dev\/vda/,
    ],
    [
      'no disk has the file system',
      { stage2: 'exit 0', settings: { payloadUuid: uuid.replace('0f', '1f') } },
      /no disk holds the file system 1f0e\S+; known are: vda/,
    ],
    [
      'the payload is that of another plan',
      { stage2: 'exit 0', settings: { planId: '0123' } },
      /belongs to another plan than 0123/,
    ],
    [
      'memory does not suffice',
      { stage2: 'exit 0', payloadMib: 160 },
      /too little memory: \d+ KiB are free, \d+ KiB are needed/,
    ],
  ])('gives way when %s', async (_name, scenario, reason) => {
    const result = await run(scenario);
    expect(result.log).toMatch(reason);
    expect(result.log).toContain('the old system starts again; restarting');
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });
});

describe('a hardware watchdog', () => {
  // The kernel itself would restart a panicked machine; without that only the hardware can.
  const kernelArguments = ['i6300esb.heartbeat=4', 'panic=0'];
  const duty = { identity: 'i6300ESB timer', action: 'feed', intervalSeconds: 1 } as const;
  const hang = 'echo HANGING; echo c >/proc/sysrq-trigger';
  const scenario: Scenario = {
    stage2: hang,
    hasWatchdog: true,
    kernelArguments,
    settings: { watchdogs: [duty] },
  };

  test('resets a machine whose kernel hangs before the point of no return, so that the old system starts', async () => {
    const result = await run(scenario);
    expect(result.log).toContain('migrate: /dev/watchdog0, which resets the machine after 4 s, is fed every 1 s\n');
    expect(result.log).toContain('HANGING\n');
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });

  test('is fed while stage 2 works, for longer than it would wait', async () => {
    const result = await run({ ...scenario, stage2: `: >${point}; sleep 12; echo STILL-HERE; exit 0` });
    expect(result.log).toContain('STILL-HERE\nmigrate: stage 2 is done; restarting\n');
    expect(result.restarted).toBe(true);
  });

  test('that is stopped, or not started, does nothing', async () => {
    const stopped = await run({ ...scenario, settings: { watchdogs: [{ ...duty, action: 'stop' }] } }, /HANGING/);
    expect(stopped.log).toContain('migrate: /dev/watchdog0 is stopped\n');
    expect(stopped.restarted).toBe(false);
  });
});

describe('the network for the log', () => {
  test('gets an address by DHCP and reaches a server', async () => {
    const server = createServer((request, response) => response.end(`HELLO ${request.url}`));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      // QEMU's 10.0.2.2 is the machine that it runs on.
      const stage2 = `/migrate/network ${networkMac} && echo UP; cat /etc/resolv.conf; ip route
wget -q -O - http://10.0.2.2:${port}/from-stage-2; echo; /migrate/network 02:00:00:00:00:99 || echo NO-SUCH-CARD`;
      const { log } = await run({ stage2, hasNetwork: true });
      expect(log).toContain('UP\nnameserver 10.0.2.3\ndefault via 10.0.2.2 dev eth0');
      expect(log).toContain('HELLO /from-stage-2\nno interface has the address 02:00:00:00:00:99\nNO-SUCH-CARD\n');
    } finally {
      server.close();
    }
  });
});

describe('fail_mode: RescueShell', () => {
  test('gives a shell to whoever answers, and then the old system', async () => {
    const result = await run({
      stage2: 'exit 3',
      settings: { failMode: 'rescue-shell' },
      type: { after: /press Enter within 300 s/, text: '\necho IN-THE-SHELL $((6 * 7))\nexit\n' },
    });
    expect(result.log).toMatch(
      /press Enter within 300 s[\s\S]*IN-THE-SHELL 42[\s\S]*the old system starts again; restarting/,
    );
    expect(result).toMatchObject({ restarted: true, diskIsUnchanged: true });
  });
});

describe('the closure over the modules of the Debian kernel', () => {
  const wanted = [
    ['ext4'],
    ['xfs'],
    ['btrfs'],
    ['vfat'],
    ['crypto-crc32c'],
    ['efivarfs'],
    ['usb-storage'],
    ['sd_mod'],
    ['nfsd'],
    ['pci:v00008086d00002922sv00001AF4sd00001100bc01sc06i01'],
    ['pci:v0000144Dd0000A808sv0000144Dsd0000A801bc01sc08i02'],
    ['virtio:d00000002v00001AF4'],
    ['mmc:block'],
    ['usb:v0781p5581d0100dc00dsc00dp00ic08isc06ip50in00'],
  ];

  test.each(wanted)('%s: as modprobe', async (name) => {
    const { root, release } = kernel;
    const directory = join(root, 'lib/modules', release);
    const read = (file: string) => readFile(join(directory, file), 'utf8');
    const index = parseModuleIndex({
      release,
      dep: await read('modules.dep'),
      alias: await read('modules.alias'),
      softdep: await read('modules.softdep'),
      builtin: await read('modules.builtin'),
      builtinModinfo: await read('modules.builtin.modinfo'),
    });
    const { modules, missing } = moduleClosure(index, [name]);
    const config = join(work, 'empty');
    await mkdir(config, { recursive: true });
    const { stdout } = await execa('modprobe', ['-d', root, '-S', release, '-C', config, '--show-depends', '-a', name]);
    const expected = [...stdout.matchAll(/^insmod (\S+)/gm)].map((match) => match[1]?.slice(directory.length + 1));
    expect(modules.length).toBeGreaterThan(0);
    // kmod heeds only the first of several softdep lines for a module; the kernel would ask for the others while it runs.
    const more: readonly string[] =
      name === 'btrfs' ? ['kernel/arch/x86/crypto/sha256-ssse3.ko', 'kernel/crypto/xxhash_generic.ko'] : [];
    expect(modules.map((module) => module.path).sort()).toEqual([...new Set([...expected, ...more])].sort());
    expect(missing).toEqual([]);
  });
});
