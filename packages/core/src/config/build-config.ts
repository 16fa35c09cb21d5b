// From the form of the file to the form that the program works with: camelCase, defaults filled in from the schema.

import { Secret } from '../secret.ts';
import type {
  AgentSetting,
  AgentSource,
  BackupVolume,
  Config,
  ExpectedHash,
  FileReference,
  FileSystemSetting,
  ImageSetting,
  PartitionArchive,
  UbootSetting,
  WatchdogSetting,
} from './config.ts';
import { type ConfigFile, configSchema } from './config-schema.ts';

type Present<T> = Exclude<T, null | undefined>;
type MigrateForm = Present<ConfigFile['migrate']>;
type BalenaForm = Present<ConfigFile['balena']>;
type AgentForm = Present<ConfigFile['agent']>;
type FileForm = Present<MigrateForm['kernel']>;
type FsForm = Present<Present<BalenaForm['image']>['fs']>;

const settings = {
  migrate: configSchema.properties.migrate.properties,
  balena: configSchema.properties.balena.properties,
  agent: configSchema.properties.agent.properties,
  debug: configSchema.properties.debug.properties,
};

const checks = { none: 'none', None: 'none', ro: 'ro', Read: 'ro', rw: 'rw', ReadWrite: 'rw' } as const;

/** `file` must have passed the schema. */
export function buildConfig(file: ConfigFile): Config {
  return {
    migrate: buildMigrate(file.migrate ?? {}),
    balena: buildBalena(file.balena ?? {}),
    ...given('agent', file.agent === null || file.agent === undefined ? undefined : buildAgent(file.agent)),
    debug: { noFlash: file.debug?.no_flash ?? settings.debug.no_flash.default },
  };
}

function buildMigrate(form: MigrateForm): Config['migrate'] {
  const defaults = settings.migrate;
  return {
    mode: form.mode ?? defaults.mode.default,
    workDir: form.work_dir ?? defaults.work_dir.default,
    allWifis: form.all_wifis ?? defaults.all_wifis.default,
    wifis: form.wifis ?? [],
    wired: form.wired ?? defaults.wired.default,
    proxy: form.proxy ?? defaults.proxy.default,
    ...given('rebootSeconds', form.reboot),
    log: {
      level: form.log?.level ?? defaults.log.properties.level.default,
      ...given('drive', form.log?.drive),
      console: form.log?.console ?? defaults.log.properties.console.default,
      ...given('remote', buildRemote(form.log?.remote)),
    },
    ...given('kernel', buildFile(form.kernel)),
    ...given('initrd', buildFile(form.initrd)),
    deviceTree: (form.device_tree ?? []).map(fileOf),
    backup: (form.backup ?? []).map(buildVolume),
    identity: {
      hostname: form.identity?.hostname ?? defaults.identity.properties.hostname.default,
      ...given('sshHostKeys', form.identity?.ssh_host_keys),
      ...given('machineId', form.identity?.machine_id),
    },
    networkFiles: form.nwmgr_files ?? [],
    requireNetworkConfig: form.require_nwmgr_config ?? defaults.require_nwmgr_config.default,
    gzipInternal: form.gzip_internal ?? defaults.gzip_internal.default,
    tarInternal: form.tar_internal ?? defaults.tar_internal.default,
    kernelOptions: (form.kernel_opts ?? defaults.kernel_opts.default).split(/\s+/).filter((word) => word !== ''),
    ...given('forceFlashDevice', form.force_flash_device),
    staging: form.staging ?? defaults.staging.default,
    ...given('requireGrade', form.require_grade),
    delaySeconds: form.delay ?? defaults.delay.default,
    watchdogs: (form.watchdogs ?? []).map(buildWatchdog),
    failMode: (form.fail_mode ?? defaults.fail_mode.default) === 'Reboot' ? 'reboot' : 'rescue-shell',
    ...given('windowsBoot', form.windows_boot === 'boot-manager' ? form.windows_boot : undefined),
    ...given('uboot', form.uboot === null || form.uboot === undefined ? undefined : buildUboot(form.uboot)),
  };
}

function buildRemote(form: Present<MigrateForm['log']>['remote']): Config['migrate']['log']['remote'] {
  if (form === null || form === undefined) return undefined;
  const { stage2 } = settings.migrate.log.properties.remote.properties;
  return { url: new Secret(form.url), ...given('rootCa', form.root_ca), inStage2: form.stage2 ?? stage2.default };
}

function buildBalena(form: BalenaForm): Config['balena'] {
  const { api, check_vpn, check_timeout } = settings.balena;
  return {
    ...given('image', buildImage(form.image ?? {})),
    ...given('config', buildFile(form.config)),
    ...given('appName', form.app_name),
    api: {
      ...given('host', form.api?.host),
      ...given('port', form.api?.port),
      check: form.api?.check ?? api.properties.check.default,
      checkKey: form.api?.check_key ?? api.properties.check_key.default,
      reportProgress: form.api?.report_progress ?? api.properties.report_progress.default,
    },
    checkVpn: form.check_vpn ?? check_vpn.default,
    checkTimeoutSeconds: form.check_timeout ?? check_timeout.default,
  };
}

function buildAgent(form: AgentForm): AgentSetting {
  const { require_plan, interval } = settings.agent;
  const sources: AgentSource[] = [];
  if (form.watch !== null && form.watch !== undefined) sources.push({ kind: 'watch', path: form.watch });
  if (form.url !== null && form.url !== undefined) sources.push({ kind: 'url', url: form.url });
  if (form.device_variables === true) sources.push({ kind: 'device-variables' });
  return {
    sources,
    ...given('reportUrl', form.report_url),
    ...given('tokenFile', form.token_file),
    ...given('device', form.device),
    requiresPlan: form.require_plan ?? require_plan.default,
    intervalSeconds: form.interval ?? interval.default,
  };
}

function buildImage({ dd, fs, download, write_unused }: Present<BalenaForm['image']>): ImageSetting | undefined {
  const writesUnused = write_unused ?? settings.balena.image.properties.write_unused.default;
  if (dd !== null && dd !== undefined) return { kind: 'dd', file: fileOf(dd), writesUnused };
  if (download !== null && download !== undefined) return { kind: 'download', version: download.version, writesUnused };
  return fs === null || fs === undefined ? undefined : buildFs(fs);
}

function buildFs(form: FsForm): ImageSetting {
  const defaults = settings.balena.image.properties.fs.properties;
  return {
    kind: 'fs',
    deviceSlug: form.device_slug,
    check: checks[form.check ?? defaults.check.default],
    maxData: form.max_data ?? defaults.max_data.default,
    mkfsDirect: form.mkfs_direct ?? defaults.mkfs_direct.default,
    ...given('extendedBlocks', form.extended_blocks),
    ...given('table', form.table),
    ...given('diskId', form.disk_id),
    partitions: {
      boot: buildPartition(form.boot),
      rootA: buildPartition(form.root_a),
      rootB: buildPartition(form.root_b),
      state: buildPartition(form.state),
      data: buildPartition(form.data),
    },
  };
}

function buildPartition(form: FsForm['boot']): PartitionArchive {
  const { blocks, archive, file_system: fileSystem } = form;
  return {
    blocks,
    archive: typeof archive === 'string' ? { path: archive } : fileOf(archive),
    ...given('startBlock', form.start_block),
    ...given('type', form.type),
    ...given('uuid', form.uuid),
    ...(fileSystem === null || fileSystem === undefined ? {} : { fileSystem: buildFileSystem(fileSystem) }),
  };
}

function buildFileSystem(form: Present<FsForm['boot']['file_system']>): FileSystemSetting {
  return {
    type: form.type,
    ...given('label', form.label),
    ...given('uuid', form.uuid),
    ...given('blockBytes', form.block_size),
    ...given('inodes', form.inodes),
    ...given('inodeBytes', form.inode_size),
    ...given('features', form.features),
  };
}

function buildVolume({ volume, items }: Present<MigrateForm['backup']>[number]): BackupVolume {
  return {
    volume,
    items: items.map(({ source, target, filter }) => ({
      source,
      ...given('target', target),
      ...given('filter', filter),
    })),
  };
}

function buildWatchdog({ path, interval, close }: Present<MigrateForm['watchdogs']>[number]): WatchdogSetting {
  return { path, ...given('intervalSeconds', interval), ...given('close', close) };
}

function buildUboot({ strategy, mmc_index }: Present<MigrateForm['uboot']>): UbootSetting {
  const chosen = strategy ?? settings.migrate.uboot.properties.strategy.default;
  return {
    strategy: typeof chosen === 'string' ? { kind: 'manual' } : { kind: 'uname', uname: chosen.uname },
    ...given('mmcIndex', mmc_index),
  };
}

function buildFile(form: FileForm | null | undefined): FileReference | undefined {
  return form === null || form === undefined ? undefined : fileOf(form);
}

function fileOf({ path, hash }: FileForm): FileReference {
  return { path, ...given('hash', hash === null || hash === undefined ? undefined : hashOf(hash)) };
}

function hashOf(hash: Present<FileForm['hash']>): ExpectedHash | undefined {
  for (const algorithm of ['sha256', 'sha1', 'md5'] as const) {
    const digest = hash[algorithm];
    if (digest !== undefined) return { algorithm, digest: digest.toLowerCase() };
  }
  return undefined;
}

/** The property, or none of it where the file leaves the setting out. */
function given<K extends string, V>(key: K, value: V | null | undefined): { readonly [P in K]?: V } {
  return (value === null || value === undefined ? {} : { [key]: value }) as { readonly [P in K]?: V };
}
