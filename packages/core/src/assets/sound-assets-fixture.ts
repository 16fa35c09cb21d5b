// What a migration needs besides the facts of a machine, complete and sound; tests change one thing at a time.
import type { Config } from '../config/config.ts';
import { parseConfig } from '../config/parse-config.ts';
import type { Assets } from './assets.ts';
import type { ImageFacts } from './image.ts';

const mebibyte = 1024 * 1024;

export function soundConfig(): Config {
  const { config } = parseConfig(
    `migrate:
  mode: pretend
  reboot: 5
  require_nwmgr_config: false
balena:
  image:
    dd:
      path: /root/image.img.gz
  config:
    path: config.json
debug:
  no_flash: false
`,
    'balena-migrate.yml',
  );
  if (config === undefined) throw new Error('the configuration of the tests is not sound');
  return config;
}

/** A small image with an MBR for the device type, as proveImage would describe it. */
export function soundImage(deviceType: string): ImageFacts {
  const labels = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'];
  return {
    path: '/root/image.img.gz',
    compression: 'gzip',
    fileBytes: 100 * mebibyte,
    fileSha256: 'a'.repeat(64),
    sizeBytes: 300 * mebibyte,
    chunkBytes: 4 * mebibyte,
    chunkSha256: Array.from({ length: 75 }, () => 'c'.repeat(64)),
    table: {
      kind: 'mbr',
      id: '7a7a7a7a',
      partitions: labels.map((name, index) => ({
        number: index + 1,
        startByte: (index * 40 + 4) * mebibyte,
        sizeBytes: 40 * mebibyte,
        type: index === 0 ? 'c' : '83',
        uuid: `7a7a7a7a-0${index + 1}`,
        name,
        bootable: index === 0,
      })),
    },
    kind: 'balena-raw',
    labels: Object.fromEntries(labels.map((label, index) => [label, index])),
    deviceType,
    version: '5.1.20',
  };
}

/** `nodeMib`: the size of Node in the bundle, which differs between processors. */
export function soundAssets(deviceType: string, nodeMib = 75): Assets {
  return {
    image: soundImage(deviceType),
    configJson: { path: '/root/config.json', sizeBytes: 400, sha256: 'b'.repeat(64), deviceType },
    connections: [],
    runtime: {
      directory: '/opt/migrate',
      files: [
        { path: 'runtime/node', sizeBytes: nodeMib * mebibyte, isExecutable: true },
        { path: 'runtime/lib/libc.so.6', sizeBytes: 2 * mebibyte, isExecutable: false },
        { path: 'runtime/busybox', sizeBytes: 2 * mebibyte, isExecutable: true },
        { path: 'app/stage2.js', sizeBytes: mebibyte, isExecutable: false },
        { path: 'app/init', sizeBytes: 8192, isExecutable: true },
      ],
    },
    findings: [],
  };
}
