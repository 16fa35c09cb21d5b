import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { StepContext } from '../execute/execute.ts';
import { createMemoryHost } from '../host/memory-host.ts';
import type { StepOf } from '../plan/plan.ts';
import { chooseProfiles } from './choose-profiles.ts';
import { chooseProxy } from './choose-proxy.ts';
import { collectNetworks } from './collect.ts';
import { networkSteps } from './steps-network.ts';

const wpa = '/etc/wpa_supplicant/wpa_supplicant.conf';
const choice = { allWifis: true, wifis: [], wired: true, proxy: true };
const to = '/state/migrated-connection-0';

async function prepared() {
  const host = createMemoryHost({
    files: { [wpa]: 'network={\nssid="home"\npsk="canary-secret"\n}\n', '/state/other': '' },
  });
  const [profile] = chooseProfiles(await collectNetworks(host), choice).profiles;
  if (profile === undefined) throw new Error('no network was found');
  const sha256 = createHash('sha256').update(profile.keyfile.reveal()).digest('hex');
  const { name, description } = profile;
  const step: StepOf<'write-connections'> = {
    kind: 'write-connections',
    id: 'write-connections',
    choice,
    files: [{ name, description, to, sha256 }],
  };
  // The handler takes nothing else of the context.
  return { host, step, context: { host } as unknown as StepContext };
}

const handler = networkSteps['write-connections'];

describe('write-connections', () => {
  it('writes what the plan has the hash of, for root only, and takes it back', async () => {
    const { host, step, context } = await prepared();
    const before = host.snapshot();
    await handler.apply(step, context);
    expect(await host.readText(to)).toContain('psk=canary-secret');
    expect((await host.status(to))?.mode).toBe(0o600);
    if (!('undo' in handler) || typeof handler.undo !== 'function') throw new Error('it can be undone');
    await handler.undo(step, null, context);
    expect(host.snapshot()).toEqual(before);
  });

  it('keeps passwords out of the step and its description', async () => {
    const { step } = await prepared();
    expect(JSON.stringify(step) + handler.describe(step)).not.toContain('canary-secret');
    expect(handler.describe(step)).toContain('Wi-Fi "home" from /etc/wpa_supplicant/wpa_supplicant.conf:1');
  });

  it('writes the files of the proxy, where it is wanted', async () => {
    const { host, step, context } = await prepared();
    await host.writeDurable('/etc/environment', Buffer.from('https_proxy=http://me:canary-secret@p.example:3128\n'), {
      mode: 0o644,
    });
    const [conf] = chooseProxy((await collectNetworks(host)).proxies).files;
    if (conf === undefined) throw new Error('no proxy was found');
    const { name, description } = conf;
    const sha256 = createHash('sha256').update(conf.contents.reveal()).digest('hex');
    const proxyStep = { ...step, files: [...step.files, { name, description, to: '/state/redsocks.conf', sha256 }] };
    await handler.apply(proxyStep, context);
    expect(await host.readText('/state/redsocks.conf')).toContain('password = "canary-secret";');
    expect((await host.status('/state/redsocks.conf'))?.mode).toBe(0o600);
    expect(JSON.stringify(proxyStep) + handler.describe(proxyStep)).not.toContain('canary-secret');
    await host.removeFile(to);
    await host.removeFile('/state/redsocks.conf');
    const unwanted = { ...proxyStep, choice: { ...choice, proxy: false } };
    await expect(handler.apply(unwanted, context)).rejects.toMatchObject({ code: 'busy' });
    expect(await host.readText('/state/redsocks.conf')).toBeUndefined();
  });

  it('refuses where the networks have changed since the plan', async () => {
    const { host, step, context } = await prepared();
    await host.writeDurable(wpa, Buffer.from('network={\nssid="home"\npsk="another one"\n}\n'), { mode: 0o600 });
    await expect(handler.apply(step, context)).rejects.toMatchObject({ code: 'busy' });
    expect(await host.readText(to)).toBeUndefined();
  });
});
