import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { oldSystemUp } from '../boards/pi-old-systems.ts';
import { bootFiles } from './boot-files.ts';
import { type PiRoad, startPiRoad } from './pi-road.ts';
import { configYaml, oldNetworks, reboot } from './road.ts';
import { checkMigrated } from './road-test.ts';

const payload = '/var/lib/balena-migrate/payload';

describe('a Raspberry Pi 3 with 64-bit Debian 12 and firmware that knows tryboot', () => {
  let road: PiRoad;
  let before: string;
  beforeAll(async () => {
    road = await startPiRoad('bookworm-64', 'raspberrypi3-64');
    await road.machine.runShell('mkdir -p /etc/wpa_supplicant /etc/systemd/network');
    for (const [path, contents] of Object.entries(oldNetworks)) await road.machine.writeFile(path, contents);
    before = await bootFiles(road.machine, road.bootDirectory);
  });
  afterAll(() => road?.close());

  it('is refused while its device tree is missing', async () => {
    const { machine, bootDirectory } = road;
    const tree = `${bootDirectory}/bcm2710-rpi-3-b.dtb`;
    // Without an image, which would only take time.
    await machine.writeFile(`${road.workDirectory}/balena-migrate.yml`, 'migrate:\n  mode: pretend\n');
    await machine.runShell(`mv ${tree} ${tree}.away`);
    const { exitCode, stderr } = await road.migrate('--mode', 'immediate', '--yes');
    expect([exitCode, stderr]).toEqual([3, expect.stringContaining('rpi-device-tree')]);
    await machine.runShell(`mv ${tree}.away ${tree}`);
    expect(await bootFiles(machine, bootDirectory)).toBe(before);
  });

  describe('once it is armed', () => {
    beforeAll(async () => {
      const config = configYaml({ extra: ['all_wifis: true', 'staging: ram'] });
      await road.machine.writeFile(`${road.workDirectory}/balena-migrate.yml`, config);
      const { exitCode, stdout, stderr } = await road.migrate('--mode', 'immediate', '--yes');
      expect(exitCode, stdout + stderr).toBe(0);
    });

    it('becomes balenaOS', async () => {
      const copy = await road.fork();
      try {
        await checkMigrated(copy, { deviceType: 'raspberrypi3-64', firmware: 'device-tree' });
        expect(copy.machine.starts).toMatchObject([
          { configFile: 'tryboot.txt', initramfs: ['balena-migrate/stage2.img'] },
          { configFile: 'config.txt', initramfs: ['initrd'] },
        ]);
      } finally {
        await copy.close();
      }
    });

    /** Spoils something, restarts by tryboot, and waits for the old system, whose boot files must be as ever. */
    async function fallsBack({ spoil, mend, sign }: { spoil: string; mend: string; sign: RegExp }): Promise<void> {
      const { machine, bootDirectory } = road;
      // The flag was spent by the start before; setting it is the last step of arming.
      await machine.runShell(`${spoil} && vcmailbox 0x00038064 4 0 1 && sync`);
      const startsBefore = machine.starts.length;
      await reboot(machine);
      await machine.waitFor(sign);
      await machine.waitFor(new RegExp(oldSystemUp));
      await machine.waitForAgent();
      expect(machine.starts.slice(startsBefore)).toMatchObject([
        { configFile: 'tryboot.txt', initramfs: expect.any(Array) },
        { configFile: 'config.txt', initramfs: ['initramfs8'] },
      ]);
      await machine.runShell(mend);
      const lines = new Set((await bootFiles(machine, bootDirectory)).split('\n'));
      expect(before.split('\n').filter((line) => !lines.has(line))).toEqual([]);
    }

    const replaced = (path: string, command: string): { spoil: string; mend: string } => ({
      spoil: `cp ${path} /root/kept && ${command}`,
      mend: `cat /root/kept >${path} && rm /root/kept`,
    });

    it('starts the old system again when the kernel panics', () => {
      // The loader is a script, and Node, which takes long to read, is away.
      const runtime = `${payload}/runtime`;
      const script = '#!/migrate/busybox sh\\necho c >/proc/sysrq-trigger\\n';
      return fallsBack({
        spoil: `mkdir /root/kept && mv ${runtime}/node ${runtime}/ld.so /root/kept/ && : >${runtime}/node && printf '${script}' >${runtime}/ld.so && chmod 755 ${runtime}/ld.so`,
        mend: `mv /root/kept/* ${runtime}/ && rmdir /root/kept`,
        sign: /Kernel panic/,
      });
    });

    it('starts the old system again when the image has changed', async () => {
      const image = `${road.workDirectory}/balena.img.gz`;
      await fallsBack({
        ...replaced(image, `printf X | dd of=${image} bs=1 seek=1000000 conv=notrunc`),
        sign: /has changed since stage 1.*FAILED: stage 2 ended with status 1 before the point of no return/s,
      });
      const { stdout } = await road.migrate('status', '--json');
      const reason = expect.stringContaining('has changed since stage 1');
      expect(JSON.parse(stdout)).toMatchObject({ state: 'fell-back', reason });
    });

    it('is as before after undo', async () => {
      const { exitCode, stderr } = await road.migrate('undo');
      expect(exitCode, stderr).toBe(0);
      expect(await bootFiles(road.machine, road.bootDirectory)).toBe(before);
      expect(road.machine.isTrybootSet()).toBe(false);
    });
  });
});
