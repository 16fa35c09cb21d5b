import { execFileSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const mebibyte = 1024 * 1024;
const partMib = 2;
const names = ['resin-boot', 'resin-rootA', 'resin-rootB', 'resin-state', 'resin-data'];

/** A small raw image with the partitions of balenaOS on GPT; `noiseMib` at its end cannot be compressed. */
export function smallImage(
  directory: string,
  { deviceType, noiseMib }: { deviceType: string; noiseMib: number },
): Buffer {
  const work = mkdtempSync(join(directory, 'small-image-'));
  const path = join(work, 'disk.img');
  const endMib = 1 + names.length * partMib;
  writeFileSync(path, '');
  truncateSync(path, (endMib + noiseMib + 1) * mebibyte);
  const lines = names.map((name, index) => `start=${(1 + index * partMib) * 2048},size=${partMib * 2048},name=${name}`);
  execFileSync('sfdisk', ['-q', path], { input: ['label: gpt', ...lines, ''].join('\n'), stdio: 'pipe' });
  const bytes = readFileSync(path);
  for (const [index, name] of names.entries()) {
    const part = join(work, name);
    writeFileSync(part, '');
    truncateSync(part, partMib * mebibyte);
    if (index === 0) {
      execFileSync('mkfs.vfat', ['-n', name, part], { stdio: 'pipe' });
      writeFileSync(join(work, 'device-type.json'), JSON.stringify({ slug: deviceType }));
      execFileSync('mcopy', ['-i', part, join(work, 'device-type.json'), '::']);
    } else {
      execFileSync('mkfs.ext4', ['-q', '-F', '-L', name, part], { stdio: 'pipe' });
    }
    readFileSync(part).copy(bytes, (1 + index * partMib) * mebibyte);
  }
  rmSync(work, { recursive: true });
  randomFillSync(bytes, endMib * mebibyte, noiseMib * mebibyte);
  return bytes;
}
