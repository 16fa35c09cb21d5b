import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { bootFiles } from './boot-files.ts';
import { configYaml, type Road, reboot, startRoad } from './road.ts';

describe('a stage 2 that does not finish gives way to the old system, untouched', () => {
  let road: Road;
  let before: string;
  beforeAll(async () => {
    road = await startRoad({ shape: 'bios-mbr' });
  });
  afterAll(() => road?.close());
  beforeEach(async () => {
    before = await bootFiles(road.machine);
  });
  afterEach(async () => {
    expect((await road.migrate('undo')).exitCode).toBe(0);
    expect(await bootFiles(road.machine)).toBe(before);
  });

  async function armAndReboot(config: string): Promise<void> {
    await road.machine.writeFile(`${road.workDirectory}/balena-migrate.yml`, config);
    const { exitCode, stdout, stderr } = await road.migrate('--mode', 'immediate', '--yes');
    expect(exitCode, stdout + stderr).toBe(0);
  }

  async function oldSystem(): Promise<void> {
    await road.machine.waitFor(/OLD-SYSTEM-UP/);
    await road.machine.waitForAgent();
  }

  it('when the kernel panics', async () => {
    await armAndReboot(configYaml({ extra: ['staging: ram', 'kernel_opts: "rdinit=/nowhere panic=3"'] }));
    await reboot(road.machine);
    await road.machine.waitFor(/Kernel panic/);
    await oldSystem();
    const { stdout } = await road.migrate('status', '--json');
    expect(JSON.parse(stdout)).toMatchObject({ state: 'fell-back', reason: expect.stringContaining('did not start') });
  });

  it('when the image has changed since stage 1', async () => {
    // A lifeboat would have a copy of its own.
    await armAndReboot(configYaml({ extra: ['staging: ram'] }));
    await road.machine.runShell(
      `cd ${road.workDirectory} && cp balena.img.gz keep && printf X | dd of=balena.img.gz bs=1 seek=1000000 conv=notrunc 2>/dev/null && sync`,
    );
    await reboot(road.machine);
    await road.machine.waitFor(/has changed since stage 1/);
    await oldSystem();
    const { stdout } = await road.migrate('status', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      state: 'fell-back',
      reason: expect.stringContaining('has changed since stage 1'),
    });
    const log = await road.machine.runShell('cat /var/lib/balena-migrate/stage2.log');
    expect(log.stdout).toContain('copying image');
    await road.machine.runShell(`cd ${road.workDirectory} && mv keep balena.img.gz`);
  });

  it('when no_flash asks for a rehearsal', async () => {
    await armAndReboot(configYaml({ noFlash: true }));
    await reboot(road.machine);
    await road.machine.waitFor(/rehearsal complete/);
    await oldSystem();
    const { stdout } = await road.migrate('status', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      state: 'fell-back',
      reason: expect.stringContaining('rehearsal complete'),
    });
    expect(road.machine.log()).not.toContain('wipe the old partition table');
  });
});
