// Where the flag lies that U-Boot clears before it starts stage 2.
import {
  type AreaPlace,
  type Disk,
  error,
  type Facts,
  type Finding,
  identifyDisk,
  type UbootFlag,
} from '@migrate/core';
import {
  areaAt,
  areaBytes,
  type FirstPartition,
  flagPlace,
  listed,
  loaderPlace,
  rawLoaderBytes,
  rawUbootByte,
  ubootPlace,
} from './boot-medium.ts';
import { readUbootImage } from './u-boot-image.ts';

export const flagFileName = '/bmigrate.flg';

/** The sector before partition 1 where it is proven free; else a file on FAT; else nothing is safe. */
export function findFlag(
  facts: Facts,
  disk: Disk,
  { mount, partition }: FirstPartition,
): UbootFlag | readonly Finding[] {
  const place = flagPlace(disk);
  const obstacle =
    place === undefined ? 'there is too little room before partition 1' : gapObstacle(facts, disk, place);
  if (place !== undefined && obstacle === undefined) {
    return { place: 'gap', disk: identifyDisk(disk), offsetBytes: place.startByte };
  }
  const uuid = partition.fileSystem?.uuid;
  const isFat = mount.fileSystem === 'vfat' && uuid !== undefined;
  if (isFat && listed(facts, `${mount.target}${flagFileName}`) === undefined) {
    return { place: 'file', uuid, fileSystem: mount.fileSystem, path: flagFileName };
  }
  return [
    error(
      'beagle-no-flag',
      disk.path,
      `U-Boot cannot be made to boot once: ${obstacle ?? 'there is no free sector'}, and ${isFat ? `${mount.target}${flagFileName} is taken` : 'partition 1 is no FAT'}`,
      isFat ? `Remove ${mount.target}${flagFileName}` : 'Migrate it by a card with the flasher image of balenaOS',
    ),
  ];
}

function gapObstacle(facts: Facts, disk: Disk, place: AreaPlace): string | undefined {
  const area = areaAt(facts, place);
  if (area === undefined) return 'the place before partition 1 could not be read';
  if (area.contents !== undefined) return 'the place before partition 1 is in use';
  const uboot = areaAt(facts, ubootPlace(disk));
  if (uboot === undefined || rawLoaderBytes.some((start) => areaAt(facts, loaderPlace(disk, start)) === undefined)) {
    return 'what lies before partition 1 could not be read';
  }
  if (uboot.contents === undefined) return undefined;
  const image = readUbootImage(areaBytes(uboot));
  if (image === undefined) return 'what lies where U-Boot is expected does not say where it ends';
  return rawUbootByte + image.sizeBytes <= place.startByte ? undefined : 'U-Boot reaches up to it';
}
