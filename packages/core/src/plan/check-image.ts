import type { Assets } from '../assets/assets.ts';
import type { ImageFacts } from '../assets/image.ts';
import type { Config } from '../config/config.ts';
import type { Device } from '../machine/device.ts';
import type { Disk, Facts } from '../machine/facts.ts';
import { error } from './check-machine.ts';
import type { Finding } from './finding.ts';

const gptBackupSectors = 33;

/** What stands against putting these files on this machine. Assets that could not be read bring their own findings. */
export function checkAssets(
  { image, configJson }: Assets,
  { config, device, disk }: { config: Config; device: Device | undefined; disk: Disk | undefined },
): readonly Finding[] {
  const findings: Finding[] = [];
  if (config.balena.image === undefined) {
    findings.push(
      error(
        'image-missing',
        'balena.image',
        'no image is given',
        'Set balena.image.dd.path to a balenaOS image (.img.gz)',
      ),
    );
  }
  if (config.balena.config === undefined) {
    findings.push(
      error(
        'config-json-missing',
        'balena.config',
        'no config.json is given, so the device would not join its fleet',
        'Download config.json from the dashboard and set balena.config.path',
      ),
    );
  }
  if (image !== undefined) findings.push(...checkImageKind(image));
  if (image !== undefined && disk !== undefined) findings.push(...checkFit(image, disk));
  const types = [image?.deviceType, configJson?.deviceType];
  if (device !== undefined) findings.push(...checkDeviceTypes(types, device, image));
  const { appName } = config.balena;
  if (appName !== undefined && configJson?.applicationName !== undefined && appName !== configJson.applicationName) {
    findings.push(
      error(
        'app-name',
        'balena.app_name',
        `config.json is for "${configJson.applicationName}", not "${appName}"`,
        'Use the config.json of that application, or correct balena.app_name',
      ),
    );
  }
  return findings;
}

function checkImageKind(image: ImageFacts): Finding[] {
  if (image.kind === 'balena-flasher') {
    return [
      error(
        'image-flasher',
        image.path,
        'it is a flasher image, which installs the real image from another medium',
        'Take the inner image out of it first (/opt/balena-image-*.balenaos-img in flash-rootA)',
      ),
    ];
  }
  const missing = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'].filter(
    (label) => image.labels[label] === undefined,
  );
  if (missing.length === 0) return [];
  return [
    error(
      'image-unknown',
      image.path,
      `it is no balenaOS image: it lacks ${missing.join(', ')}`,
      'Download the image from the dashboard',
    ),
  ];
}

function checkFit(image: ImageFacts, disk: Disk): Finding[] {
  const findings: Finding[] = [];
  if (disk.isReadOnly)
    findings.push(error('target-read-only', disk.path, 'the disk is read-only', 'Remove the write protection'));
  if (disk.logicalSectorSize !== 512) {
    findings.push(
      error(
        'target-sector-size',
        disk.path,
        `its sectors have ${disk.logicalSectorSize} bytes, but the partition table of the image counts in 512`,
        'Migrate to a disk with 512-byte sectors, set by migrate.force_flash_device',
      ),
    );
  }
  const neededBytes = image.sizeBytes + (image.table.kind === 'gpt' ? gptBackupSectors * 512 : 0);
  if (neededBytes > disk.sizeBytes) {
    findings.push(
      error(
        'target-too-small',
        disk.path,
        `the image needs ${neededBytes} bytes, the disk has ${disk.sizeBytes}`,
        'Use a smaller image, or name another disk with migrate.force_flash_device',
      ),
    );
  }
  return findings;
}

function checkDeviceTypes(
  [ofImage, ofConfig]: readonly (string | undefined)[],
  device: Device,
  image: ImageFacts | undefined,
): Finding[] {
  const findings: Finding[] = [];
  const supported = device.deviceTypes.join(', ');
  if (image !== undefined && ofImage === undefined && image.kind === 'balena-raw') {
    findings.push(
      error(
        'image-device-type',
        image.path,
        'its boot partition has no device-type.json, so it is not known what it is for',
        'Download the image from the dashboard',
      ),
    );
  }
  if (ofImage !== undefined && !device.deviceTypes.includes(ofImage)) {
    findings.push(
      error(
        'image-device-type',
        image?.path ?? 'image',
        `the image is for ${ofImage}, but this machine runs ${supported}`,
        'Download the image for this device type',
      ),
    );
  }
  if (ofConfig !== undefined && !device.deviceTypes.includes(ofConfig)) {
    findings.push(
      error(
        'config-json-device-type',
        'config.json deviceType',
        `it is for ${ofConfig}, but this machine runs ${supported}`,
        'Use the config.json of a fleet of this device type',
      ),
    );
  }
  findings.push(...deviceTypeMismatch(ofImage, ofConfig));
  return findings;
}

/** Whether config.json and image, by their device types where they are known, are for different ones. */
export function deviceTypeMismatch(ofImage: string | undefined, ofConfig: string | undefined): Finding[] {
  if (ofImage === undefined || ofConfig === undefined || ofImage === ofConfig) return [];
  return [
    error(
      'device-type-mismatch',
      'config.json deviceType',
      `config.json is for ${ofConfig}, the image for ${ofImage}`,
      'Download both for the same device type',
    ),
  ];
}

/** Boot partition checks that depend on the firmware belong to the boot manager; this only asks for the table kind. */
export function checkFirmwareFit(facts: Facts, image: ImageFacts | undefined): readonly Finding[] {
  if (image === undefined || facts.firmware.kind !== 'uefi' || image.table.kind === 'gpt') return [];
  return [
    error(
      'image-table',
      image.path,
      'this machine boots by UEFI, for which the image needs a GPT',
      'Download the image for a UEFI device type',
    ),
  ];
}
