// usage: node flash.mjs IMAGE DEVICE [--verify]
// Flashes as balenaEtcher and balena-cli do: inflate, write with O_DIRECT, and where asked read back and compare.
import { execFileSync } from 'node:child_process';
import { createRequire } from 'node:module';

const { multiWrite, sourceDestination } = createRequire(import.meta.url)('etcher-sdk');
const [imagePath, devicePath, option] = process.argv.slice(2);
const size = Number(execFileSync('blockdev', ['--getsize64', devicePath]).toString());
const drive = {
  raw: devicePath,
  device: devicePath,
  devicePath,
  size,
  blockSize: 512,
  mountpoints: [],
  isSystem: false,
};
const { failures } = await multiWrite.decompressThenFlash({
  source: new sourceDestination.File({ path: imagePath }),
  destinations: [new sourceDestination.BlockDevice({ drive, write: true, direct: true })],
  onFail: (_destination, error) => console.error(error),
  onProgress: () => {},
  verify: option === '--verify',
});
process.exit(failures.size === 0 ? 0 : 1);
