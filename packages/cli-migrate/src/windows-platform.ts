import {
  type Assets,
  type Config,
  error,
  type Finding,
  findFormerRun,
  type Host,
  type HostReader,
  type Journal,
  journalName,
  MigrateError,
  migratedNetworks,
  pathBelow,
  readJournal,
} from '@migrate/core';
import { pc } from '@migrate/device-x86';
import {
  type BootParts,
  collectWindowsNetworks,
  coreDisk,
  coreFacts,
  createWindowsReader,
  inspectWindows,
  makeWindowsPlan,
  parseSystem,
  readBootParts,
  resultDirectory,
  type WindowsFacts,
  type WindowsReader,
  windowsHost,
  windowsPartition,
  windowsStateDirectory,
} from '@migrate/windows-efi';
import type { Platform, Survey, SurveyRequest } from './platform.ts';
import { toolVersion } from './version.ts';

export async function windowsPlatform(plain: Host): Promise<Platform> {
  const read = createWindowsReader(plain);
  const system = parseSystem(await read('read-system'));
  const host = windowsHost(plain, system);
  const stateDirectory = windowsStateDirectory(system);
  const results = (journal: Journal | undefined): Promise<string | undefined> =>
    journal === undefined ? Promise.resolve(undefined) : resultDirectory(host, journal);
  return {
    host,
    stateDirectory,
    findFormerRun: () => findFormerRun(host, stateDirectory, results),
    resultDirectory: async () => results(await readJournal(host, pathBelow(stateDirectory, journalName))),
    capture: () => inspectWindows(read),
    survey: async (request) => windowsSurvey(host, await inspectWindows(read), { ...request, read }),
  };
}

/** Of this machine's facts, or of captured ones, whose networks are not at hand: then without `read`. */
export async function windowsSurvey(
  host: HostReader,
  windows: WindowsFacts,
  { config, bundleDirectory, read }: SurveyRequest & { readonly read?: WindowsReader },
): Promise<Survey> {
  const parts = await bootPartsOf(host, bundleDirectory);
  const boot = 'kernel' in parts ? parts : undefined;
  const disk = windowsPartition(windows)?.disk;
  return {
    facts: coreFacts(windows, boot),
    target: disk === undefined ? undefined : coreDisk(disk),
    readsLinux: false,
    complete: async (assets) => ({
      // Others are refused anyway, and Windows gives passwords to administrators only.
      ...(await withNetworks(assets, config, windows.isAdministrator ? read : undefined)),
      findings: [...assets.findings, ...('kernel' in parts ? [] : [parts])],
    }),
    plan: (assets) => makeWindowsPlan({ config, facts: windows, assets, boot, device: pc, toolVersion }),
  };
}

async function withNetworks(assets: Assets, config: Config, read: WindowsReader | undefined): Promise<Assets> {
  if (read === undefined) return assets;
  return { ...assets, networks: migratedNetworks(await collectWindowsNetworks(read), config) };
}

async function bootPartsOf(host: HostReader, directory: string): Promise<BootParts | Finding> {
  try {
    return await readBootParts(host, directory);
  } catch (thrown) {
    if (!(thrown instanceof MigrateError) || thrown.code !== 'not-found') throw thrown;
    return error(
      'bundle-incomplete',
      directory,
      thrown.message,
      'Use the bundle migrate-windows-x64, unpacked as a whole',
    );
  }
}
