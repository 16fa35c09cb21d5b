import type { Partition } from '@migrate/core';
import type { ImageDescription, PartitionDescription } from '@migrate/image-tools';
import { describe, expect, it } from 'vitest';
import { renderDescription } from './render-description.ts';

const mebibyte = 1024 * 1024;

function partition(number: number, startMib: number, sizeMib: number): Partition {
  const [startByte, sizeBytes] = [startMib * mebibyte, sizeMib * mebibyte];
  return { number, startByte, sizeBytes, type: '83', uuid: `${number}`, bootable: number === 1 };
}

function image(
  changes: Partial<ImageDescription['inspection']>,
  rest: Partial<ImageDescription> = {},
): ImageDescription {
  const partitions: PartitionDescription[] = [
    {
      partition: partition(1, 4, 40),
      isExtended: false,
      label: 'resin-boot',
      fileSystem: { type: 'fat16', uuid: 'AB12-CD34', blockBytes: 2048 },
      usedBytes: 10 * mebibyte,
      freeBytes: 30 * mebibyte,
    },
    { partition: partition(4, 60, 40), isExtended: true },
    { partition: partition(5, 64, 36), isExtended: false, label: 'vault', problem: 'it holds crypto_LUKS' },
  ];
  const table = { kind: 'mbr' as const, id: '12345678', partitions: partitions.map((one) => one.partition) };
  const inspection = { table, sectorBytes: 512 as const, kind: 'balena-raw' as const, labels: {}, ...changes };
  return { sizeBytes: 120 * mebibyte, inspection, partitions, hasBootCode: false, ...rest };
}

const file = { path: 'b.img.zip', container: 'zip', fileBytes: 5 * mebibyte };

describe('renderDescription', () => {
  it('draws a raw image with its gaps, and says what to do with it', () => {
    const text = renderDescription(file, image({ deviceType: 'intel-nuc', version: '5.1.20' }));
    expect(text).toMatchInlineSnapshot(`
      "b.img.zip
        file         zip, 5.0 MiB
        image        120.0 MiB
        kind         balenaOS as it runs from a disk (raw)
        device type  intel-nuc
        version      5.1.20
        table        MBR 12345678
        boot code    none outside of the partitions

      Disk
                    from        size        used        free
        1*       4.0 MiB    40.0 MiB    10.0 MiB    30.0 MiB  resin-boot  fat16 (clusters of 2048, AB12-CD34)
        gap     44.0 MiB    16.0 MiB
        4       60.0 MiB    40.0 MiB                          extended
        5       64.0 MiB    36.0 MiB                          vault  it holds crypto_LUKS
        gap    100.0 MiB    20.0 MiB

      What to do next
        Give it to the migrator as balena.image.dd after:
          balena-extract b.img.zip --img balena.img.gz
        or extract its partitions for balena.image.fs:
          balena-extract b.img.zip -d intel-nuc
        The download for intel-nuc is a flasher image; this is what it installs.
      "
    `);
  });

  it('names the image inside of a flasher image, and how to take it out', () => {
    const inner = image({ version: '6.0.1' }).inspection;
    const innerImage = { path: '/opt/balena-image-x.balenaos-img', sizeBytes: mebibyte, inspection: inner };
    const text = renderDescription(file, image({ kind: 'balena-flasher' }, { innerImage }));
    expect(text).toContain('  inside       /opt/balena-image-x.balenaos-img, 1.0 MiB\n  its version  6.0.1\n');
    expect(text).toContain('    balena-extract b.img.zip --img balena.img.gz\n');
    expect(text).not.toContain('-d ');
  });

  it('says why there is none, and that an unknown image is of no use', () => {
    const empty = image({ kind: 'balena-flasher' }, { innerProblem: 'its /opt is empty' });
    expect(renderDescription(file, empty)).toContain('  inside       its /opt is empty\n');
    expect(renderDescription(file, image({ kind: 'unknown' }))).toContain(
      'neither the migrator nor this tool can use it',
    );
  });
});
