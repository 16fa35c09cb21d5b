// Makes apps.json out of a compose file and the images that are injected.
import {
  type Finding,
  quoted,
  readYamlTree,
  schemaFaults,
  textPosition,
  type YamlFault,
  type YamlTree,
  yamlFault,
} from '@migrate/core';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import type { AppsJson } from './apps-json-schema.ts';
import { findImage, type InjectedImage, imageOfId } from './check-images.ts';
import { type ComposeFault, unsupportedFields } from './compose-fields.ts';
import { placeOf } from './compose-place.ts';
import {
  type ComposeFile,
  composeSchema,
  type NetworkForm,
  type ServiceForm,
  type VolumeForm,
} from './compose-schema.ts';
import { compositionOf } from './compose-service.ts';
import { plainText, type Spot, spotAt, textMapping } from './compose-values.ts';
import { derivedId, derivedUuid } from './derived-ids.ts';
import { shownName } from './image-name.ts';
import { findingLimit, limitedFindings } from './limited-findings.ts';
import { faultsOfApps, type ParsedApps } from './parse-apps-json.ts';

/** What stands in apps.json before a part of the release. */
const beforeRelease = /^apps\.(?:"[^"]*"|[^.]+)\.releases\.(?:"[^"]*"|[^.]+)\.?/;

/**
 * Who the app is. A device that joins a fleet needs the real ids of its fleet, or the app is replaced as soon as it is online;
 * without them all are derived from names and contents (derived-ids.ts), which is right for a device that stays alone.
 */
export interface AppIdentity {
  /** Default: `name` of the compose file, else `app`. */
  readonly appName?: string;
  /** 32 hexadecimal digits on balenaCloud. Default: from the name. */
  readonly appUuid?: string;
  readonly appId?: number;
  /** The commit of the release. Default: from its contents. */
  readonly releaseUuid?: string;
  readonly releaseId?: number;
}

export interface ComposeOptions extends AppIdentity {
  /** All images that the engine will have. */
  readonly images: readonly InjectedImage[];
  /** Whether the services start by themselves; default true. */
  readonly running?: boolean;
  readonly pinDevice?: boolean;
}

interface Sources {
  readonly file: ComposeFile;
  readonly options: ComposeOptions;
  readonly spot: Spot;
}

/**
 * Reads compose files of version 2, 2.1 to 2.4, 3 and without a version, with anchors and `<<`. What does not reach a container
 * on balenaOS is named: with a warning, or refused (compose-fields.ts). All faults are found at once, with their lines.
 */
export function appsFromCompose(text: string, fileName: string, options: ComposeOptions): ParsedApps {
  const tree = readYamlTree(text, { aliases: true });
  const { file, faults } = checkForm(tree);
  if (file === undefined) return { findings: findingsOf(faults, text, fileName) };
  const spot: Spot = { place: tree.place, path: '', faults: [...faults] };
  const apps = build({ file, options, spot });
  for (const fault of faultsOfApps(apps)) {
    const inFile = fault.path.replace(beforeRelease, '').replace(/^(services\.(?:"[^"]*"|[^.]+))\.composition\b/, '$1');
    spot.faults.push({ ...fault, path: inFile, offset: placeOf(tree.place, inFile).offset });
  }
  const isSound = !spot.faults.some(({ severity }) => severity === 'error');
  return { findings: findingsOf(spot.faults, text, fileName), ...(isSound ? { apps } : {}) };
}

/** `file` is there when its form can be built upon; even then a fault may be an error. */
function checkForm({ value, place, faults }: YamlTree): { file?: ComposeFile; faults: readonly ComposeFault[] } {
  const error = (fault: YamlFault): ComposeFault => ({ ...fault, severity: 'error' });
  if (value === undefined || faults.length > 0) return { faults: faults.map(error) };
  const validate = compileSchema();
  const unsupported = unsupportedFields(place);
  if (!validate(value)) {
    return { faults: [...schemaFaults(validate.errors ?? [], place, findingLimit + 1).map(error), ...unsupported] };
  }
  return { file: value, faults: [...unsupported, ...versionFaults(value, place)] };
}

function versionFaults({ version, services }: ComposeFile, place: YamlTree['place']): ComposeFault[] {
  const faults: ComposeFault[] = [];
  const add = (key: string, message: string, hint: string): void => {
    const offset = place.keys?.get(key)?.offset ?? 0;
    faults.push({ ...yamlFault('value', offset, message, hint), path: key, severity: 'error' });
  };
  if (version !== undefined && !/^[23](\.\d+)?$/.test(String(version))) {
    add('version', `the version ${quoted(String(version))} is not known`, 'Write "2.4", or remove the line');
  }
  if (Object.keys(services).length === 0) add('services', 'there is no service', 'Add one');
  return faults;
}

function build({ file, options, spot }: Sources): AppsJson {
  const name = options.appName ?? file.name ?? 'app';
  const appUuid = options.appUuid ?? derivedUuid('app', name);
  const contents = {
    services: mapped(file.services, spotAt(spot, 'services'), (form, at, key) =>
      buildService(form, at, { key, appUuid, options }),
    ),
    volumes: mapped(file.volumes ?? {}, spotAt(spot, 'volumes'), buildShared),
    networks: mapped(file.networks ?? {}, spotAt(spot, 'networks'), buildShared),
  };
  const releaseUuid = options.releaseUuid ?? derivedUuid('release', appUuid, JSON.stringify(contents));
  const release = { id: options.releaseId ?? derivedId('release', releaseUuid), ...contents };
  const app = {
    id: options.appId ?? derivedId('app', appUuid),
    name,
    class: 'fleet' as const,
    releases: { [releaseUuid]: release },
  };
  return { config: {}, apps: { [appUuid]: app }, ...(options.pinDevice === true ? { pinDevice: true } : {}) };
}

function buildService(
  form: ServiceForm,
  spot: Spot,
  { key, appUuid, options }: { key: string; appUuid: string; options: ComposeOptions },
) {
  const image = imageNameOf(form, spot, { key, images: options.images });
  const found = findImage(image, options.images).image;
  return {
    id: derivedId('service', appUuid, key),
    image_id: derivedId('image', appUuid, key, found?.id ?? image),
    image,
    environment: textMapping(form.environment, spotAt(spot, 'environment')),
    labels: textMapping(form.labels, spotAt(spot, 'labels')),
    ...(options.running === false ? { running: false } : {}),
    composition: compositionOf(form, spot),
  };
}

/** The image's name; for an id the first name that the image has. */
function imageNameOf(
  form: ServiceForm,
  spot: Spot,
  { key, images }: { key: string; images: readonly InjectedImage[] },
): string {
  const at = spotAt(spot, 'image');
  if (form.image === undefined) {
    const names = images
      .flatMap((image) => image.references)
      .slice(0, 5)
      .map(shownName);
    const hint =
      names.length === 0 ? 'Add "image: name:tag" of an injected image' : `Add "image:" and one of ${names.join(', ')}`;
    const fault = yamlFault('missing', spot.place?.offset ?? 0, `the service ${quoted(key)} has no image`, hint);
    spot.faults.push({ ...fault, path: at.path, severity: 'error' });
    return 'missing';
  }
  const text = plainText(form.image, at);
  return imageOfId(text, images)?.references[0] ?? text;
}

function buildShared(form: VolumeForm | NetworkForm, spot: Spot): Record<string, unknown> {
  const { labels, driver_opts: driverOptions, ...rest } = form ?? {};
  return {
    ...rest,
    ...(driverOptions === undefined ? {} : { driver_opts: textMapping(driverOptions, spotAt(spot, 'driver_opts')) }),
    ...(labels === undefined ? {} : { labels: textMapping(labels, spotAt(spot, 'labels')) }),
  };
}

function mapped<V, R>(
  values: { readonly [key: string]: V },
  spot: Spot,
  make: (value: V, spot: Spot, key: string) => R,
): { [key: string]: R } {
  return Object.fromEntries(Object.entries(values).map(([key, value]) => [key, make(value, spotAt(spot, key), key)]));
}

let compiled: ValidateFunction<ComposeFile> | undefined;

function compileSchema(): ValidateFunction<ComposeFile> {
  compiled ??= new Ajv2020({
    allErrors: true,
    strict: true,
    allowUnionTypes: true,
    verbose: true,
  }).compile<ComposeFile>(composeSchema);
  return compiled;
}

function findingsOf(faults: readonly ComposeFault[], text: string, fileName: string): readonly Finding[] {
  const ordered = [...faults].sort((a, b) => a.offset - b.offset);
  const findings = ordered.map(({ severity, code, offset, path, message, hint }) => ({
    severity,
    code: `compose-${code}`,
    where: `${fileName}:${textPosition(text, offset)}${path === '' ? '' : ` ${path}`}`,
    message,
    hint,
  }));
  return limitedFindings(findings, 'compose-more', fileName);
}
