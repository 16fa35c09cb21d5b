// The sample configuration of the original migrator's README, as it stands there, on a board with a USB stick for its log.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Assets, type Config, type Disk, type Facts, makePlan, parseConfig } from '@migrate/core';
import { soundAssets } from '@migrate/core/testing';
import { describe, expect, it } from 'vitest';
import { raspberryPis } from './raspberry-pi.ts';

const fixtures = join(import.meta.dirname, '../../../fixtures');
const board = JSON.parse(readFileSync(join(fixtures, 'machines/pi-4-raspbian-10/facts.json'), 'utf8')) as Facts;
const sample = readFileSync(join(fixtures, 'configs/seed-readme.yml'), 'utf8');
/** What the sample leaves commented out, with the sample's own values. */
const commentedOut = {
  '  # kernel_opts: "panic=20"': '  kernel_opts: "panic=20"',
  '  # delay: 60': '  delay: 60',
  '  # watchdogs:': '  watchdogs:',
  '  # - path: /dev/watchdog1': '  - path: /dev/watchdog1',
  '  #   interval: ~': '    interval: ~',
  '  #   close: false': '    close: false',
  '  # device_tree: ': '  device_tree: ',
  '  # - path: balena.dtb': '  - path: balena.dtb',
};

const stick: Disk = {
  name: 'sda',
  path: '/dev/sda',
  device: '8:0',
  sizeBytes: 2 ** 33,
  logicalSectorSize: 512,
  isReadOnly: false,
  isRemovable: true,
  serial: 'STICK',
  holders: [],
  partitions: [
    {
      name: 'sda1',
      path: '/dev/sda1',
      device: '8:1',
      number: 1,
      startByte: 2 ** 20,
      sizeBytes: 2 ** 32,
      fileSystem: { type: 'vfat', uuid: 'ABCD-1234' },
      holders: [],
    },
  ],
};
const facts: Facts = {
  ...board,
  disks: [...board.disks, stick],
  watchdogs: [{ path: '/dev/watchdog1', identity: 'Broadcom BCM2835 Watchdog timer', timeoutSeconds: 15 }],
};

function assets(): Assets {
  const sound = soundAssets('raspberrypi4-64');
  const profile = { name: 'migrated-wifi-a', description: 'Wi-Fi "a"', sizeBytes: 10, sha256: 'ab' };
  return {
    ...sound,
    ...(sound.configJson === undefined ? {} : { configJson: { ...sound.configJson, applicationName: 'bbtest' } }),
    networks: { profiles: [profile], notCarried: [], missing: [] },
  };
}

function planWith(text: string, change: (config: Config) => Config = (config) => config) {
  const parsed = parseConfig(text, 'balena-migrate.yml');
  if (parsed.config === undefined) throw new Error(JSON.stringify(parsed.findings));
  const config = change(parsed.config);
  return makePlan({ config, facts, assets: assets(), devices: raspberryPis, toolVersion: '0.1.0' });
}

describe("the original migrator's sample", () => {
  it('gets a plan, with a word on each setting that has no effect', () => {
    const { plan, findings } = planWith(sample);
    expect(findings.filter(({ severity }) => severity === 'error')).toEqual([]);
    expect(findings.filter(({ code }) => code === 'setting-ignored').map(({ where }) => where)).toEqual([
      'migrate.kernel',
      'migrate.initrd',
    ]);
    expect(plan).toMatchObject({
      rebootSeconds: 5,
      logLevel: 'info',
      logDrive: { path: '/dev/sda1', uuid: 'ABCD-1234', fileSystem: 'vfat' },
      pointOfNoReturn: 'flash-image',
      delaySeconds: 0,
    });
  });

  it('does what its comments offer too', () => {
    const text = Object.entries(commentedOut).reduce((current, [from, to]) => {
      expect(current).toContain(from);
      return current.replace(from, to);
    }, sample);
    const { plan } = planWith(text);
    const settings = plan?.stage1.flatMap((step) => (step.kind === 'build-initramfs' ? [step.settings] : []))[0];
    expect(settings?.watchdogs).toEqual([
      { identity: 'Broadcom BCM2835 Watchdog timer', action: 'feed', intervalSeconds: 10 },
    ]);
    expect(plan?.delaySeconds).toBe(60);
    expect(JSON.stringify(plan?.stage1)).toContain('panic=20');
  });

  it('is refused a disk that the board would not start', () => {
    const { plan, findings } = planWith(sample, (config) => ({
      ...config,
      migrate: { ...config.migrate, forceFlashDevice: '/dev/sda', log: { level: 'info', console: true } },
    }));
    expect(plan).toBeUndefined();
    expect(findings).toContainEqual(
      expect.objectContaining({ code: 'rpi-other-disk', message: expect.stringContaining('starts from /dev/mmcblk0') }),
    );
  });
});
