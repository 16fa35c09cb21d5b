import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { configJson } from '../balena-image.ts';
import { diskBytes } from '../debian-disk.ts';
import { bootFiles } from './boot-files.ts';
import { configYaml, type Road, startRoad } from './road.ts';

describe('stage 1 on a running Debian 12 machine', () => {
  let road: Road;
  let before: string;
  beforeAll(async () => {
    road = await startRoad({
      shape: 'bios-mbr',
      // As large as the disk and a sector more once inflated, and next to nothing before.
      addFiles: async (share, image) => {
        const script = '{ cat "$1"; head -c "$2" /dev/zero; } | gzip -1 >"$3"';
        const missing = diskBytes + 512 - image.sizeBytes;
        await execa('sh', [
          '-c',
          script,
          'grow',
          image.raw,
          String(missing),
          join(share, 'larger-than-the-disk.img.gz'),
        ]);
      },
    });
    // What the system itself writes would hide that nothing else is written.
    await road.machine.runShell(
      'mount -o remount,noatime / && systemctl stop systemd-journald.socket systemd-journald-dev-log.socket systemd-journald-audit.socket systemd-journald systemd-timesyncd cron 2>/dev/null; sync; sleep 8; sync',
    );
    before = await bootFiles(road.machine);
  });
  afterAll(() => road?.close());

  async function config(text: string): Promise<void> {
    await road.machine.writeFile(`${road.workDirectory}/balena-migrate.yml`, text);
    await road.machine.runShell('sync; sleep 1; sync');
  }

  async function diskWrites(): Promise<number> {
    await road.machine.runShell('sync');
    return Object.values(await road.machine.writeCounts()).reduce((sum, count) => sum + count, 0);
  }

  async function refusedWith(...codes: string[]): Promise<void> {
    const count = await diskWrites();
    const { exitCode, stdout, stderr } = await road.migrate('--mode', 'immediate', '--yes', '--json');
    expect(exitCode, stdout + stderr).toBe(3);
    const last = stdout.slice(stdout.lastIndexOf('\n{\n') + 1);
    const { findings } = JSON.parse(last) as { findings: { severity: string; code: string }[] };
    const found = findings.filter((finding) => finding.severity === 'error').map((finding) => finding.code);
    expect(found).toEqual(codes);
    expect(await diskWrites(), 'requests that wrote to the disk').toBe(count);
  }

  it('pretend prints the plan, keeps secrets, and sends no write to any disk', async () => {
    await config(configYaml());
    const count = await diskWrites();
    const { exitCode, stdout, stderr } = await road.migrate();
    expect(exitCode, stderr).toBe(0);
    expect(await diskWrites()).toBe(count);
    for (const text of [
      'Disk before',
      'Disk after',
      'resin-data',
      'Memory in stage 2',
      'If the power is cut',
      'point of no return',
      'Nothing was changed',
    ]) {
      expect(stdout).toContain(text);
    }
    expect(stdout + stderr).not.toContain('canary-api-key');
    expect(await bootFiles(road.machine)).toBe(before);
  });

  it('explain gives the same plan from captured facts', async () => {
    const { stdout } = await road.migrate('--json');
    const { plan } = JSON.parse(stdout) as { plan: { id: string; stage2: unknown[] } };
    await road.machine.runShell(`cd ${road.workDirectory} && ./migrate-linux-x64/migrate facts >/run/facts.json`);
    const explained = await road.migrate('explain', '-f', '/run/facts.json', '--json');
    expect(explained.exitCode, explained.stderr).toBe(0);
    const other = (JSON.parse(explained.stdout) as { plan: { stage2: unknown[] } }).plan;
    expect(other.stage2.length).toBe(plan.stage2.length);
  });

  it.each<[string, string, string, string[]]>([
    [
      'one flipped byte',
      'printf X | dd of=balena.img.gz bs=1 seek=2000000 conv=notrunc',
      configYaml(),
      ['asset-invalid-input'],
    ],
    ['a truncated image', 'truncate -s 3000000 balena.img.gz', configYaml(), ['asset-invalid-input']],
    [
      'another hash than configured',
      'true',
      configYaml().replace('balena.img.gz\n', `balena.img.gz\n      hash:\n        sha256: ${'a1'.repeat(32)}\n`),
      ['asset-verify-mismatch'],
    ],
    [
      'an image for another device type',
      `cp /root/wrong.json config.json`,
      configYaml(),
      ['config-json-device-type', 'device-type-mismatch'],
    ],
    ['a missing config.json', 'rm config.json', configYaml(), ['asset-not-found']],
  ])('refuses %s with exit 3 and writes nothing', async (_name, damage, text, codes) => {
    await road.machine.writeFile('/root/wrong.json', configJson('raspberrypi3'));
    await road.machine.runShell(
      `cd ${road.workDirectory} && cp balena.img.gz config.json /root/ && { ${damage}; } 2>/dev/null`,
    );
    await config(text);
    await refusedWith(...codes);
    await road.machine.runShell(`cp /root/balena.img.gz /root/config.json ${road.workDirectory}/`);
  });

  it('refuses a disk that is too small', async () => {
    await config(configYaml().replace('balena.img.gz', 'larger-than-the-disk.img.gz'));
    await refusedWith('target-too-small');
  });

  it('a faulty configuration is exit 2, with its place', async () => {
    await config(configYaml({ extra: ['al_wifis: true'] }));
    const { exitCode, stderr } = await road.migrate('--mode', 'immediate', '--yes');
    expect([exitCode, stderr]).toEqual([
      2,
      expect.stringMatching(/balena-migrate\.yml:4:3 migrate\.al_wifis.*all_wifis/s),
    ]);
  });

  it('undo takes stage 1 back to the byte, and a second run does not start over an armed one', async () => {
    await config(configYaml());
    const armed = await road.migrate('--mode', 'immediate', '--yes');
    expect(armed.exitCode, armed.stderr).toBe(0);
    const prepared = await bootFiles(road.machine);
    expect(prepared).not.toBe(before);
    expect(prepared).toContain('/boot/balena-migrate/stage2.img');
    const second = await road.migrate('--mode', 'immediate', '--yes');
    expect([second.exitCode, second.stderr]).toEqual([3, expect.stringContaining('already-armed')]);
    expect(await bootFiles(road.machine)).toBe(prepared);
    expect((await road.migrate('undo')).exitCode).toBe(0);
    expect(await bootFiles(road.machine)).toBe(before);
    expect((await road.migrate('undo')).stderr).toContain('nothing to take back');
  });

  it('a stage 1 that fails undoes itself', async () => {
    // A directory where the menu entry must go: the check sees no file, the step cannot write.
    await road.machine.runShell('mkdir /boot/grub/custom.cfg');
    await config(configYaml({ extra: ['staging: ram'] }));
    const { exitCode, stderr } = await road.migrate('--mode', 'immediate', '--yes');
    expect([exitCode, stderr]).toEqual([4, expect.stringContaining('everything was taken back')]);
    await road.machine.runShell('rmdir /boot/grub/custom.cfg');
    expect(await bootFiles(road.machine)).toBe(before);
  });

  it('a run that was killed is recognised, refused, and undone', async () => {
    await road.machine.runShell(
      `cd ${road.workDirectory} && (setsid ./migrate-linux-x64/migrate --mode immediate --yes >/run/killed 2>&1 </dev/null & echo $! >/run/pid); until grep -q 'files of stage 2' /run/killed; do sleep 0.1; done; sleep 0.3; kill -9 -$(cat /run/pid)`,
    );
    const second = await road.migrate('--mode', 'immediate', '--yes');
    expect([second.exitCode, second.stderr]).toEqual([3, expect.stringContaining('half-done-run')]);
    expect((await road.migrate('undo')).exitCode).toBe(0);
    expect(await bootFiles(road.machine)).toBe(before);
  });
});
