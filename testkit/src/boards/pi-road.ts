// The road on an emulated Pi: the old system on its card, with the bundle, an image and a configuration in its work directory.
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BalenaImage, balenaImage, configJson } from '../balena-image.ts';
import type { BundleArchitectureName } from '../bundle/architectures.ts';
import { bundleName, makeBundle } from '../bundle/bundle.ts';
import type { RunResult } from '../machine.ts';
import { configYaml, connection, connectionName } from '../road/road.ts';
import { makePiCard, type PiCard } from './pi-card.ts';
import { type EmulatedPi, startEmulatedPi } from './pi-emulator.ts';
import { oldSystems, type PiSystemName } from './pi-old-systems.ts';
import { piTarget } from './pi-target.ts';

/** Where everything lies in the old system. */
export const workDirectory = '/root/migration';

export interface PiRoad {
  readonly pi: EmulatedPi;
  readonly image: BalenaImage;
  readonly card: PiCard;
  /** Host directory for copies of the card. */
  readonly directory: string;
  /** Runs the bundle's migrate in the work directory of a Pi, this one or one started from a copy of its card. */
  migrate(pi: EmulatedPi, ...args: readonly string[]): Promise<RunResult>;
  close(): Promise<void>;
}

/** Old networks as the programs of old systems keep them; a Pi without USB has no wired interface. */
const oldNetwork = 'ctrl_interface=/run/wpa_supplicant\nnetwork={\n  ssid="field office"\n  psk="canary-wifi-password"\n}\n';

/** The board is up and its commands can be run when this returns. */
export async function startPiRoad(
  name: PiSystemName,
  { deviceType, config = configYaml() }: { deviceType: string; config?: string },
): Promise<PiRoad> {
  const directory = await mkdtemp(join(tmpdir(), 'migrate-pi-road-'));
  const work = join(directory, 'work');
  await mkdir(work);
  const bundle: BundleArchitectureName = oldSystems[name].architecture === 'arm64' ? 'arm64' : 'armv7';
  await makeBundle(work, bundle);
  const image = await balenaImage({ table: 'mbr', deviceType, payloadMib: 2, boot: await piTarget(name) });
  await cp(image.path, join(work, 'balena.img.gz'));
  await writeFile(join(work, 'config.json'), configJson(deviceType), { mode: 0o600 });
  await writeFile(join(work, connectionName), connection);
  await writeFile(join(work, 'balena-migrate.yml'), config);
  const card = await makePiCard(name, { directory, work });
  await rm(work, { recursive: true });
  const pi = await startEmulatedPi(card);
  const migrate: PiRoad['migrate'] = (on, ...args) => {
    const script = `cd ${workDirectory} && exec ./${bundleName(bundle)}/migrate "$@"`;
    return on.run('/bin/sh', ['-c', script, 'migrate', ...args], { timeoutMs: 800_000 });
  };
  try {
    await pi.waitForAgent();
    await pi.runShell('mkdir -p /etc/wpa_supplicant');
    await pi.writeFile('/etc/wpa_supplicant/wpa_supplicant.conf', oldNetwork);
  } catch (thrown) {
    await pi.kill();
    throw thrown;
  }
  return {
    pi,
    image,
    card,
    directory,
    migrate,
    close: async () => {
      await pi.kill();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
