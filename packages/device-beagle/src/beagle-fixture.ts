// An image of balenaOS for a Beagle, whose loaders lie on resin-boot only, and a bundle that can make a lifeboat.
import type { Assets } from '@migrate/core';
import { soundAssets, soundImage } from '@migrate/core/testing';

export function lifeboatAssets(deviceType: string): Assets {
  const assets = soundAssets(deviceType);
  const programs = ['fallocate', 'filefrag'].map((name) => ({
    path: `runtime/lifeboat/${name}`,
    sizeBytes: 60_000,
    isExecutable: true,
  }));
  return {
    ...assets,
    image: { ...soundImage(deviceType), hasEmptyGap: true },
    ...(assets.runtime === undefined
      ? {}
      : { runtime: { ...assets.runtime, files: [...assets.runtime.files, ...programs] } }),
  };
}
