// What stage 1 sends to the disks of a running machine. What else it refuses: refusals.disk.ts.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bootFiles } from './boot-files.ts';
import { configYaml, errorCodes, type Road, startRoad } from './road.ts';

describe('stage 1 on a running Debian 12 machine', () => {
  let road: Road;
  let before: string;
  beforeAll(async () => {
    road = await startRoad({ shape: 'bios-mbr' });
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

  it('refuses one flipped byte with exit 3, and sends no write to any disk', async () => {
    await road.machine.runShell(
      `cd ${road.workDirectory} && cp balena.img.gz /root/ && printf X | dd of=balena.img.gz bs=1 seek=2000000 conv=notrunc 2>/dev/null`,
    );
    await config(configYaml());
    const count = await diskWrites();
    const { exitCode, stdout, stderr } = await road.migrate('--mode', 'immediate', '--yes', '--json');
    expect(exitCode, stdout + stderr).toBe(3);
    expect(errorCodes(stdout)).toEqual(['asset-invalid-input']);
    expect(await diskWrites()).toBe(count);
    await road.machine.runShell(`cp /root/balena.img.gz ${road.workDirectory}/`);
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
});
