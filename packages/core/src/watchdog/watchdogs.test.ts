import { describe, expect, it } from 'vitest';
import { createMemoryHost } from '../host/memory-host.ts';
import { watchdogDuties } from './watchdog-duties.ts';
import { inspectWatchdogs, type Watchdog } from './watchdogs.ts';

const hardware = '/sys/devices/pci0000:00/0000:00:1f.0/iTCO_wdt.1.auto';
const identity = 'iTCO_wdt';
const running: Watchdog = {
  path: '/dev/watchdog0',
  hardware,
  identity,
  isRunning: true,
  canBeStopped: true,
  timeoutSeconds: 30,
};

describe('inspectWatchdogs', () => {
  it('tells hardware from software, and what runs', async () => {
    const host = createMemoryHost({
      files: {
        [`${hardware}/modalias`]: 'platform:iTCO_wdt\n',
        '/sys/class/watchdog/watchdog0/identity': 'iTCO_wdt\n',
        '/sys/class/watchdog/watchdog0/state': 'active\n',
        '/sys/class/watchdog/watchdog0/nowayout': '0\n',
        '/sys/class/watchdog/watchdog0/timeout': '30\n',
        '/sys/class/watchdog/watchdog1/state': 'inactive\n',
        '/sys/class/watchdog/watchdog1/nowayout': '1\n',
      },
      links: { '/sys/class/watchdog/watchdog0/device': hardware },
    });
    expect(await inspectWatchdogs(host)).toEqual([
      running,
      { path: '/dev/watchdog1', isRunning: false, canBeStopped: false },
    ]);
    expect(await inspectWatchdogs(createMemoryHost())).toEqual([]);
  });
});

describe('watchdogDuties', () => {
  const duties = (watchdogs: readonly Watchdog[], ...settings: Parameters<typeof watchdogDuties>[1][number][]) =>
    watchdogDuties({ watchdogs }, settings);
  const codes = (result: ReturnType<typeof duties>) =>
    result.findings.map(({ severity, code }) => `${severity} ${code}`);

  it('feeds what runs, and leaves alone what stands still or may', () => {
    expect(duties([running])).toEqual({
      duties: [{ identity, action: 'feed', intervalSeconds: 10 }],
      findings: [],
    });
    const { isRunning: _, ...unknown } = running;
    for (const watchdog of [{ ...running, isRunning: false }, unknown])
      expect(duties([watchdog])).toEqual({ duties: [], findings: [] });
  });

  it('does what the setting asks, also for one that stands still and under its other name', () => {
    const standing = { ...running, isRunning: false };
    expect(duties([standing], { path: '/dev/watchdog', intervalSeconds: 3 }).duties).toEqual([
      { identity, action: 'feed', intervalSeconds: 3 },
    ]);
    expect(duties([running], { path: '/dev/watchdog0', close: true }).duties).toEqual([
      { identity, action: 'stop', intervalSeconds: 10 },
    ]);
    expect(duties([{ path: '/dev/watchdog2' }], { path: '/dev/watchdog2' }).duties).toMatchObject([
      { identity: 'watchdog2' },
    ]);
    expect(duties([running], { path: '/dev/watchdog0', close: false }).duties).toMatchObject([{ action: 'feed' }]);
  });

  it('feeds one that cannot be stopped, and says so', () => {
    const result = duties([{ ...running, canBeStopped: false }], { path: '/dev/watchdog0', close: true });
    expect(result.duties).toMatchObject([{ action: 'feed' }]);
    expect(codes(result)).toEqual(['warning watchdog-nowayout']);
  });

  it('refuses one that is not there; passes over one of software and a second of the same name', () => {
    expect(codes(duties([running], { path: '/dev/watchdog1' }))).toEqual(['error watchdog-unknown']);
    expect(duties([running, { ...running, path: '/dev/watchdog1' }]).duties).toHaveLength(1);
    const result = duties([{ ...running, identity: 'Software Watchdog' }], { path: '/dev/watchdog0' });
    expect(result.duties).toEqual([]);
    expect(codes(result)).toEqual(['warning watchdog-software']);
  });
});
